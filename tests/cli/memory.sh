#!/usr/bin/env bash
# What trades memory for time never changes a bit: recomputation in all its forms, and the plan without shared memory.
# shellcheck source=tests/cli/lib.sh disable=SC1091
source "$(dirname "$0")/lib.sh"

cat >run.yaml <<'YAML'
name: straight
model: {layers: 4, width: 32, heads: 4, kv_heads: 2, context: 32, ffn: swiglu, norm: rmsnorm, position: rope, qk_norm: true,
        dropout: {attention: 0.1, residual: 0.1, embedding: 0.1}}
data: {train: "stories:50000:1", val: 0.1}
train: {steps: 3, slots: 4, micro_batch: 2, micro_batches_per_slot: 2, warmup: 2, eval_every: 3, eval_batches: 4}
YAML

# bytes KEY OPTIONS...: a figure of the plan, its first of that name.
bytes() {
    local key=$1
    shift
    "$LOCKSTEP" plan run.yaml "$@" --json | awk -v key="\"$key\":" '$1 == key { sub(/,/, "", $2); print $2; exit }'
}

say "gradients are recomputed to their bits: GPT-2's parts, Llama's parts, naive attention; with dropout"
for kind in gpt2 llama naive; do
    case $kind in
    gpt2) parts=(--no-rope --no-rmsnorm --no-swiglu --set model.qk_norm=false --n-kv-heads 4) ;;
    llama) parts=() ;;
    naive) parts=(--no-flash-attention --set model.qk_norm=false) ;;
    esac
    expect 0 "$LOCKSTEP" train run.yaml "${parts[@]}" --run $kind
    for how in block every selective budget; do
        options=(--set "train.recompute=$how")
        if [[ $how == budget ]]; then
            least=$(bytes total "${parts[@]}" --set train.recompute=block) most=$(bytes total "${parts[@]}")
            options+=(--set "train.recompute_budget_mb=$(awk "BEGIN { print ($least + $most) / 2 / 1048576 }")")
        fi
        expect 0 "$LOCKSTEP" train run.yaml "${parts[@]}" --run $kind-$how "${options[@]}"
        same_run runs/$kind runs/$kind-$how without_ranks
        less=$(bytes values "${parts[@]}" "${options[@]}") all=$(bytes values "${parts[@]}")
        ((less < all)) || die "$kind, $how: $less bytes of values, and $all without"
    done
    expect 0 "$LOCKSTEP" train run.yaml "${parts[@]}" --run $kind-plain --no-compile
    same_run runs/$kind runs/$kind-plain without_ranks
    case $kind in
    gpt2) switches=(norm gelu loss adamw) ;;
    llama) switches=(norm swiglu loss adamw) ;; # with QK-norm no product is followed by the rotation
    naive) switches=(norm swiglu rope loss adamw) ;;
    esac
    whole=$(bytes ops "${parts[@]}")
    for switch in "${switches[@]}"; do
        more=$(bytes ops "${parts[@]}" --set "fuse.$switch=false")
        ((more > whole)) || die "$kind: fuse.$switch=false changes nothing: $more ops, and $whole with it"
        expect 0 "$LOCKSTEP" train run.yaml "${parts[@]}" --run "$kind-no-$switch" --set "fuse.$switch=false"
        same_run runs/$kind "runs/$kind-no-$switch" without_ranks
    done
    ((2 * $(bytes values "${parts[@]}") < $(bytes values "${parts[@]}" --no-compile))) || die "sharing memory saves less than half"
done

say "the flag of the seed; dead values are not read; ranks"
need_ranks
expect 0 env LOCKSTEP_POISON=1 "$LOCKSTEP" train run.yaml --run poisoned --use-gradient-checkpointing
same_run runs/llama runs/poisoned without_ranks
grep -q 'recompute: block' runs/poisoned/config.yaml || die "--use-gradient-checkpointing does not set train.recompute"
expect 0 ranks 3 "$LOCKSTEP" train run.yaml --run three --use-gradient-checkpointing
same_run runs/llama runs/three without_ranks

say "a budget is kept; one that is too small names the least that would do, which then does"
refuses 2 'train.recompute_budget_mb: 0.01 MiB are not enough for this model .* the least that would do is [0-9.]+$' \
    "$LOCKSTEP" train run.yaml --run small --set train.recompute=budget --set train.recompute_budget_mb=0.01
least=$(sed -E 's/.*least that would do is //' "$ERR")
expect 0 "$LOCKSTEP" plan run.yaml --set train.recompute=budget --set "train.recompute_budget_mb=$least"
prints '^again +[0-9]+ ops .* more work' "what is computed again"
for part in 1 2 3 4; do
    budget=$(awk "BEGIN { printf \"%d\", $least * 1048576 + ($(bytes total) - $least * 1048576) * $part / 4 }")
    total=$(bytes total --set train.recompute=budget --set "train.recompute_budget_mb=$(awk "BEGIN { print $budget / 1048576 + 0.001 }")")
    ((total <= budget + 1100)) || die "the plan takes $total bytes of a budget of $budget"
done

say "a budget is refused only when no depth keeps it, and recomputation needs shared memory"
shape=(--set model.layers=3 --set train.micro_batch=16 --set train.recompute=budget)
refuses 2 'the least that would do is' "$LOCKSTEP" plan run.yaml "${shape[@]}" --set train.recompute_budget_mb=0.01
least=$(sed -E 's/.*least that would do is //' "$ERR")
expect 0 "$LOCKSTEP" plan run.yaml "${shape[@]}" --set "train.recompute_budget_mb=$least"
refuses 2 'set one of the two' "$LOCKSTEP" plan run.yaml --use-gradient-checkpointing --no-compile
