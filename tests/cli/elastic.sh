#!/usr/bin/env bash
# A checkpoint does not know who saved it: what 1, 2, 3 and 8 ranks save under each ZeRO stage is the same content, and 1, 2, 3 and 8
# ranks of any stage go on from it with the same loss and the same state after it.
#
# Each checkpoint is loaded by each number of ranks, the stages in turn; with ALL=1 under each stage, too.
# shellcheck source=tests/cli/lib.sh disable=SC1091
source "$(dirname "$0")/lib.sh"
need_ranks
counts=(1 2 3 8)

cat >run.yaml <<'YAML'
name: run
model: {layers: 2, width: 32, heads: 2, context: 16, dropout: {residual: 0.1}}
data: {train: "stories:20000:1", val: 0.1}
train: {steps: 3, slots: 12, micro_batch: 2, warmup: 2, eval_every: 3, eval_batches: 2}
ckpt: {every: 2, keep: 0}
YAML

# step_hash RUN STEP
step_hash() { "$LOCKSTEP" ckpt hash "runs/$1/ckpt/step-0000000$2" || die "runs/$1 has no whole checkpoint of step $2"; }

expect 0 "$LOCKSTEP" train run.yaml --run whole

say "saved by ${counts[*]} ranks under ZeRO 0, 1, 2"
for zero in 0 1 2; do
    for count in "${counts[@]}"; do
        run=$count-$zero
        expect 0 on "$count" "$LOCKSTEP" train run.yaml --run "$run" --set "dist.zero=$zero"
        [[ $(find "runs/$run/ckpt/step-00000002" -name 'shard-*' | wc -l) == "$count" ]] || die "$run has not saved $count shards"
        for step in 2 3; do same "step $step of whole and $run" "$(step_hash whole $step)" "$(step_hash "$run" $step)"; done
        same_run runs/whole "runs/$run" without_ranks
        rm -r "runs/$run/ckpt/step-00000003"
    done
done

say "each loaded by ${counts[*]} ranks${ALL:+ under each stage}"
loads=0
for saved in runs/*-*; do
    for count in "${counts[@]}"; do
        for zero in 0 1 2; do
            [[ ${ALL:-} ]] || ((zero == loads % 3)) || continue
            rm -rf runs/loaded
            cp -r "$saved" runs/loaded
            expect 0 on "$count" "$LOCKSTEP" train --resume runs/loaded --set "dist.zero=$zero"
            tells '^resumed at step 2$'
            same_run runs/whole runs/loaded without_ranks
        done
        ((++loads))
    done
done
say "the weights alone: an evaluation, and stage 2 on other ranks"
for saved in 1-0 3-2 8-1; do
    expect 0 "$LOCKSTEP" eval "runs/$saved"
    loss=$(grep "^loss " "$OUT")
    same "the losses of whole weights and of $saved" "${first_loss:=$loss}" "$loss"
done
expect 0 "$LOCKSTEP" train run.yaml --run second --set train.stage=2 --set train.init_from=runs/1-0
for saved in 3-2 8-1; do
    for count in 2 3; do
        rm -rf runs/other
        expect 0 on "$count" "$LOCKSTEP" train run.yaml --run other --set train.stage=2 --set "train.init_from=runs/$saved" --set dist.zero=2
        same_run runs/second runs/other without_ranks
    done
done
echo "elastic: all checks hold"
