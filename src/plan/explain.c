/* Prints a plan so that it reads like a hand-written forward and backward: a line an op,
 *
 *     result = op(inputs)        type[shape] @offset
 *
 * "+=" marks what is added to, "in place of x" an output that takes over the memory of a dying input. */
#include "plan/plan.h"

#include <string.h>

#include "base/check.h"
#include "plan/passes.h"
#include "plan/tree.h"

struct text {
    char s[512];
};

__attribute__((format(printf, 2, 3))) static void append(struct text *text, const char *format, ...) {
    size_t used = strlen(text->s);
    __builtin_va_list args;
    __builtin_va_start(args, format);
    vsnprintf(text->s + used, sizeof text->s - used, format, args);
    __builtin_va_end(args);
}

static void append_shape(struct text *text, const struct buf *buf) {
    append(text, "%s[", dtype_name(buf->type));
    for (int i = 0; i < buf->rank; i++) append(text, "%s%lld", i ? "," : "", (long long)buf->dim[i]);
    append(text, "]");
}

/* The parameter that is this part of the flat space; NULL: none. */
static const char *param_in(const struct plan *plan, int64_t begin, int64_t end) {
    for (int i = 0; i < plan->n_params; i++) {
        const struct param *param = &plan->params[i];
        if (param->offset == begin && begin + param->elems <= end && end < begin + param->elems + PARAM_ALIGN)
            return param->name;
    }
    return NULL;
}

static void append_program(struct text *text, const struct op_attr *a, int round, const char *comma) {
    append(text, "%s", round ? "; " : comma);
    if (a->rounds > 1) append(text, "round %d", round);
    append(text, "%ssum =", a->rounds > 1 ? ": " : "");
    for (int i = a->program[round]; i < a->program[round + 1]; i++) {
        int code = a->program[i];
        if (code >= 0)
            append(text, " m%d", code);
        else if (code == TREE_ADD)
            append(text, " +");
        else if (code == TREE_OWN)
            append(text, " own");
        else if (code <= TREE_KEEP)
            append(text, " =held%d", TREE_KEEP - code);
        else
            append(text, " held%d", TREE_HELD - code);
    }
}

/* The attributes that the op kind reads, as arguments; `comma` leads the first. */
static void append_attr(struct text *text, const struct plan *plan, const struct op *op, const char *comma) {
    const struct op_attr *a = &op->attr;
    switch (op->kind) {
    case OP_dropout:
        append(text, "%srate=%g, site=%u", comma, a->rate, a->site);
        break;
    case OP_attention:
    case OP_attention_grad:
    case OP_attention_cached:
    case OP_attention_scores:
    case OP_attention_scores_grad:
    case OP_attention_mix:
    case OP_attention_mix_dp:
    case OP_attention_mix_dv:
        append(text, "%sheads=%lld", comma, (long long)a->heads);
        if (a->kv_heads != a->heads) append(text, ", kv_heads=%lld", (long long)a->kv_heads);
        if (a->rate > 0) append(text, ", rate=%g, site=%u", a->rate, a->site);
        break;
    case OP_qk_norm:
    case OP_qk_norm_grad:
        append(text, "%sheads=%lld+%lld", comma, (long long)a->heads, (long long)a->kv_heads);
        break;
    case OP_rope_table:
        append(text, "%stheta=%g, channels=%lld", comma, a->theta, (long long)a->turning);
        break;
    case OP_rope:
    case OP_linear_rope:
        append(text, "%sheads=%lld+%lld%s%s", comma, (long long)a->heads, (long long)a->kv_heads,
               a->pairs ? ", pairs" : "", a->inverse ? ", inverse" : "");
        break;
    case OP_softcap:
    case OP_softcap_grad:
        append(text, "%scap=%g", comma, a->cap);
        break;
    case OP_head_loss:
    case OP_head_loss_grad:
        append(text, "%s%lld rows at a time", comma, (long long)a->chunk_rows);
        if (a->cap > 0) append(text, ", cap=%g", a->cap);
        break;
    case OP_clamp:
    case OP_clamp_grad:
        append(text, "%s[%g, %g]", comma, a->low, a->high);
        break;
    case OP_hash:
        if (a->audit) append(text, "%sif audited", comma);
        break;
    case OP_clip:
        append(text, "%smax_norm=%g", comma, a->max_norm);
        break;
    case OP_adamw:
        if (param_in(plan, a->begin, a->end)) append(text, "%s%s", comma, param_in(plan, a->begin, a->end));
        append(text, "%sbetas=[%g, %g], eps=%g, decay=%g below %lld", comma, a->beta1, a->beta2, a->eps, a->decay,
               (long long)a->decay_end);
        break;
    case OP_exchange:
    case OP_all_gather:
    case OP_all_reduce:
    case OP_reduce_scatter:
        append(text, "%s[%lld, %lld), line %d", comma, (long long)a->begin, (long long)a->end, a->line);
        break;
    case OP_gather_losses:
    case OP_gather_norms:
    case OP_wait:
        append(text, "%sline %d", comma, a->line);
        break;
    case OP_tree_finish:
        for (int r = 0; r < a->rounds; r++) append_program(text, a, r, comma);
        break;
    default:
        break;
    }
}

static void append_call(struct text *text, const struct plan *plan, const struct op *op) {
    const struct op_info *info = &op_info[op->kind];
    int outs = 0, ins = 0, last = info->ins;
    for (int i = 0; i < info->outs; i++)
        if (op->out[i] != NONE)
            append(text, "%s%s%s", outs++ ? ", " : "", plan->bufs[op->out[i]].name, op->add & 1u << i ? " (+=)" : "");
    append(text, "%s%s(", outs ? " = " : "", info->name);
    while (last > 0 && op->in[last - 1] == NONE) last--;
    for (int i = 0; i < last; i++)
        append(text, "%s%s", ins++ ? ", " : "", op->in[i] == NONE ? "-" : plan->bufs[op->in[i]].name);
    append_attr(text, plan, op, ins ? ", " : "");
    append(text, ")");
}

static void explain_op(const struct plan *plan, const struct op *op, FILE *out) {
    struct text call = {""}, where = {""};
    append_call(&call, plan, op);
    if (op->out[0] != NONE) {
        const struct buf *buf = &plan->bufs[op->out[0]];
        append_shape(&where, buf);
        int64_t inside;
        const struct buf *root = &plan->bufs[buf_root(plan, op->out[0], &inside)];
        if (buf->kind == BUF_ACT || buf->kind == BUF_LEAF)
            append(&where, " @%lld", (long long)(root->offset + (root == buf ? 0 : inside)));
        if (buf->takes != NONE) append(&where, " in place of %s", plan->bufs[buf->takes].name);
    }
    fprintf(out, "  %-*s  %s\n", where.s[0] ? 76 : 0, call.s, where.s);
}

/* How many ops from `at` on are those from `like` on, but for add bits; *adding tells whether these differ. */
static int same_ops(const struct plan *plan, int at, int end, int like, int like_end, int *adding) {
    int n = 0;
    for (; at + n < end && like + n < like_end; n++) {
        const struct op *a = &plan->ops[at + n], *b = &plan->ops[like + n];
        if (a->kind != b->kind || a->attr.line != b->attr.line || memcmp(a->out, b->out, sizeof a->out) ||
            memcmp(a->in, b->in, sizeof a->in))
            break;
        *adding |= a->add != b->add;
    }
    return n;
}

static const char *segment_meaning(enum segment segment) {
    switch (segment) {
    case SEG_MICRO_FIRST:
        return "the first micro-batch of a slot: gradients are overwritten";
    case SEG_MICRO_NEXT:
        return "a later micro-batch of a slot: gradients are added to";
    case SEG_MICRO_LAST:
        return "the last micro-batch of this rank's last slot, and the sum over slots and ranks";
    case SEG_FOLD:
        return "after a slot that is not the last: its gradient goes into the tree";
    case SEG_UPDATE:
        return "once a step: norm, clip, AdamW";
    case SEG_EVAL:
        return "the loss of one batch, no gradient";
    case SEG_PREFILL:
        return "tokens of the prompt into the cache";
    case SEG_GUARD:
        return "hashes of what all ranks have: they must agree";
    case SEG_SEAL:
        return "hashes of what this rank alone has: after an update, and again before the next";
    case SEG_START:
        return "after parameters were written: what ops read of them";
    case SEG_DECODE:
        return "one more token";
    default:
        return "";
    }
}

/* Runs of ops that are those of segment `like` are told in a line. */
static void explain_like(const struct plan *plan, int begin, int end, enum segment like, FILE *out) {
    int like_begin = plan->segment_begin[like], like_end = plan->segment_end[like], at = like_begin;
    for (int i = begin; i < end;) {
        while (at < like_end && plan->ops[at].kind == OP_wait) at++;
        int adding = 0, same = plan->ops[i].aside ? 0 : same_ops(plan, i, end, at, like_end, &adding);
        if (!same) {
            explain_op(plan, &plan->ops[i++], out);
            continue;
        }
        if (at == like_begin && same == like_end - like_begin)
            fprintf(out, "  the %d ops of %s", same, segment_name(like));
        else
            fprintf(out, "  ops %d to %d of %s", at - like_begin, at - like_begin + same - 1, segment_name(like));
        fprintf(out, "%s\n", adding ? ", but weight gradients and slot_losses are added to (+=)" : "");
        i += same;
        at += same;
    }
}

static void explain_segment(const struct plan *plan, enum segment s, FILE *out) {
    int begin = plan->segment_begin[s], end = plan->segment_end[s];
    if (begin == end) return;
    fprintf(out, "\n%s: %s\n", segment_name(s), segment_meaning(s));
    if (s == SEG_MICRO_NEXT || s == SEG_MICRO_LAST)
        explain_like(plan, begin, end, SEG_MICRO_FIRST, out);
    else
        for (int i = begin; i < end; i++) explain_op(plan, &plan->ops[i], out);
}

void plan_explain(const struct plan *plan, FILE *out) {
    fprintf(out, "parameters: %lld in %d tensors; the flat space has %lld elements, those below %lld decay\n",
            (long long)plan->param_elems, plan->n_params, (long long)plan->flat_elems, (long long)plan->decay_end);
    for (int i = 0; i < plan->n_params; i++) {
        const struct param *p = &plan->params[i];
        struct text shape = {""};
        append_shape(&shape, &plan->bufs[p->buf]);
        if (p->init_std > 0)
            append(&shape, " ~ normal(0, %.4g)", p->init_std);
        else
            append(&shape, " = %g", p->init_value);
        fprintf(out, "  %-24s at %-10lld %s\n", p->name, (long long)p->offset, shape.s);
    }
    for (int s = 0; s < SEG_COUNT; s++) explain_segment(plan, (enum segment)s, out);
}
