/* The table of ops: what runs each. */
#include "backend/cuda/cuda.h"

#include "kernels/cuda/kernels.h"

#define OP(name, outs, ins, reuse, lane) cuda_kernel cuda_##name##_f32, cuda_##name##_bf16, cuda_##name##_f16;
#include "plan/op.def"
#undef OP

/* One kernel for each type of values; with workspace. */
#define KERNEL(name)                                                                                                   \
    .kernel = {[DTYPE_F32] = cuda_##name##_f32, [DTYPE_BF16] = cuda_##name##_bf16, [DTYPE_F16] = cuda_##name##_f16}
#define NEEDS(function) .workspace = cuda_##function##_workspace
/* Made of matrix products, of other calls of libraries, and of kernels. */
#define PRODUCTS(function) .prepare = cuda_prepare_##function, .run = cuda_run_##function

const struct cuda_op cuda_ops[OP_COUNT] = {
    [OP_embed] = {KERNEL(embed)},
    [OP_embed_grad] = {KERNEL(embed_grad)},
    [OP_dropout] = {KERNEL(dropout)},
    [OP_layernorm] = {KERNEL(layernorm)},
    [OP_layernorm_grad] = {KERNEL(layernorm_grad), NEEDS(norm_grad)},
    [OP_rmsnorm] = {KERNEL(rmsnorm)},
    [OP_rmsnorm_grad] = {KERNEL(rmsnorm_grad), NEEDS(norm_grad)},
    [OP_linear] = {PRODUCTS(linear)},
    [OP_linear_dx] = {PRODUCTS(linear_dx)},
    [OP_linear_dw] = {PRODUCTS(linear_dw)},
    [OP_gelu] = {KERNEL(gelu)},
    [OP_gelu_grad] = {KERNEL(gelu_grad)},
    [OP_swiglu] = {KERNEL(swiglu)},
    [OP_swiglu_grad] = {KERNEL(swiglu_grad)},
    [OP_qk_norm] = {KERNEL(qk_norm)},
    [OP_qk_norm_grad] = {KERNEL(qk_norm_grad), NEEDS(qk_norm_grad)},
    [OP_rope_table] = {KERNEL(rope_table)},
    [OP_rope] = {KERNEL(rope)},
    [OP_attention] = {KERNEL(attention), PRODUCTS(attention)},
    [OP_attention_grad] = {KERNEL(attention_grad), PRODUCTS(attention)},
    [OP_attention_cached] = {KERNEL(attention_cached), PRODUCTS(cached_attention)},
    [OP_attention_scores] = {PRODUCTS(naive)},
    [OP_attention_scores_grad] = {PRODUCTS(naive)},
    [OP_attention_softmax] = {KERNEL(attention_softmax)},
    [OP_attention_softmax_grad] = {KERNEL(attention_softmax_grad)},
    [OP_attention_mix] = {PRODUCTS(naive)},
    [OP_attention_mix_dp] = {PRODUCTS(naive)},
    [OP_attention_mix_dv] = {PRODUCTS(naive)},
    [OP_add] = {KERNEL(add)},
    [OP_add_layernorm] = {KERNEL(add_layernorm)},
    [OP_add_rmsnorm] = {KERNEL(add_rmsnorm)},
    [OP_linear_gelu] = {PRODUCTS(linear)},
    [OP_linear_swiglu] = {PRODUCTS(linear)},
    [OP_linear_rope] = {PRODUCTS(linear)},
    [OP_linear_dx_gelu] = {PRODUCTS(linear_dx)},
    [OP_linear_dx_swiglu] = {PRODUCTS(linear_dx)},
    [OP_cast] = {KERNEL(cast)},
    [OP_widen] = {KERNEL(widen)},
    [OP_take_row] = {KERNEL(take_row)},
    [OP_softcap] = {KERNEL(softcap)},
    [OP_softcap_grad] = {KERNEL(softcap_grad)},
    [OP_xent] = {KERNEL(xent), NEEDS(loss)},
    [OP_xent_grad] = {KERNEL(xent_grad)},
    [OP_softmax] = {KERNEL(softmax)},
    [OP_nll] = {KERNEL(nll), NEEDS(loss)},
    [OP_nll_grad] = {KERNEL(nll_grad)},
    [OP_head_loss] = {PRODUCTS(head)},
    [OP_head_loss_grad] = {PRODUCTS(head)},
    [OP_clamp] = {KERNEL(clamp)},
    [OP_clamp_grad] = {KERNEL(clamp_grad)},
    [OP_record_loss] = {KERNEL(record_loss)},
    [OP_loss_seed] = {KERNEL(loss_seed)},
    [OP_fold] = {KERNEL(fold)},
    [OP_tree_finish] = {KERNEL(tree_finish)},
    [OP_hash] = {KERNEL(hash), NEEDS(hash)},
    [OP_clear] = {KERNEL(clear)},
    [OP_sum_squares] = {KERNEL(sum_squares)},
    [OP_clip] = {KERNEL(clip)},
    [OP_adamw] = {KERNEL(adamw), NEEDS(adamw)},
};

#define PIECES(type)                                                                                                   \
    {                                                                                                                  \
        cuda_sum_rows_##type, cuda_gelu_values_##type, cuda_gelu_grad_values_##type, cuda_swiglu_values_##type,        \
            cuda_swiglu_grad_values_##type, cuda_softcap_values_##type, cuda_rope_values_##type,                       \
            cuda_xent_rows_##type, cuda_mean_loss_##type, cuda_xent_rows_grad_##type                                   \
    }

const struct cuda_pieces *cuda_pieces_of(enum dtype type) {
    static const struct cuda_pieces pieces[DTYPE_COUNT] = {
        [DTYPE_F32] = PIECES(f32), [DTYPE_BF16] = PIECES(bf16), [DTYPE_F16] = PIECES(f16)};
    return &pieces[type];
}
