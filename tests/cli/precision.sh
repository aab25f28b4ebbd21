#!/usr/bin/env bash
# Mixed precision from end to end: bits on any number of ranks and threads, checkpoints in fp32, losses beside those of fp32.
# shellcheck source=tests/cli/lib.sh disable=SC1091
source "$(dirname "$0")/lib.sh"

cat >run.yaml <<'YAML'
name: full
model: {layers: 2, width: 32, heads: 4, kv_heads: 2, context: 32, position: rope, norm: rmsnorm, ffn: swiglu, qk_norm: true,
        dropout: {attention: 0.1, residual: 0.1, embedding: 0.1}}
data: {train: "stories:50000:1", val: 0.1}
train: {steps: 12, slots: 4, micro_batch: 2, lr: 5.0e-3, warmup: 2, eval_every: 6, eval_batches: 4}
ckpt: {every: 6, keep: 3}
YAML

say "bf16 on 1, 2 and 3 ranks, 1 and 2 threads, with recomputation and without shared memory: the same bits"
need_ranks
expect 0 "$LOCKSTEP" train run.yaml --run full
expect 0 "$LOCKSTEP" train run.yaml --run half --use-amp
grep -q 'precision: bf16' runs/half/config.yaml || die "--use-amp does not set train.precision"
for count in 2 3; do
    expect 0 ranks "$count" "$LOCKSTEP" train run.yaml --run "ranks-$count" --use-amp
    same_run runs/half "runs/ranks-$count" without_ranks
done
expect 0 env OMP_NUM_THREADS=2 "$LOCKSTEP" train run.yaml --run threads --use-amp
same_run runs/half runs/threads without_ranks
expect 0 env LOCKSTEP_POISON=1 "$LOCKSTEP" train run.yaml --run recomputed --use-amp --use-gradient-checkpointing
same_run runs/half runs/recomputed without_ranks
expect 0 "$LOCKSTEP" train run.yaml --run plain --use-amp --no-compile
same_run runs/half runs/plain without_ranks

say "it is not fp32, and near it"
loss() { awk -F'"val_loss": ' '/val_loss"/ { split($2, part, ","); last = part[1] } END { print last }' "runs/$1/metrics.jsonl"; }
full=$(loss full) half=$(loss half)
differ "losses of fp32 and bf16" "$full" "$half"
awk "BEGIN { d = ($full - $half) / $full; exit !(d < 0.01 && d > -0.01) }" || die "fp32 ends at $full, bf16 at $half"

say "a stopped run goes on in its bits, and a checkpoint goes on in the other precision with a warning"
cp -r runs/half runs/again && rm -r runs/again/ckpt/step-00000012
expect 0 "$LOCKSTEP" train --resume runs/again
same_run runs/half runs/again
cp -r runs/half runs/other && rm -r runs/other/ckpt/step-00000012
expect 0 "$LOCKSTEP" train --resume runs/other --no-amp
tells 'train.precision: fp32 \(now\) but bf16' "the warning"
expect 0 "$LOCKSTEP" ckpt show runs/half
prints 'params/wte +f32' "that parameters are kept in fp32"

say "evaluation and generation, with the cache and without"
expect 0 "$LOCKSTEP" eval runs/half --data stories:3000:9
expect 0 "$LOCKSTEP" generate runs/half --prompt "The " --tokens 60 --temperature 0
cp "$OUT" cached
expect 0 "$LOCKSTEP" generate runs/half --prompt "The " --tokens 60 --temperature 0 --no-cache
# The cache rounds in other places, so the texts may part after a while, and not at once.
[[ $(head -c 8 "$OUT") == "$(head -c 8 cached)" ]] || die "the cache gives another text: $(head -c 40 cached)"
expect 0 "$LOCKSTEP" eval runs/half --data stories:3000:9
half=$(awk '$1 == "loss" { print $2 }' "$OUT")
expect 0 "$LOCKSTEP" eval runs/full --data stories:3000:9
full=$(awk '$1 == "loss" { print $2 }' "$OUT")
awk "BEGIN { d = ($full - $half) / $full; exit !(d < 0.01 && d > -0.01) }" || die "evaluations give $full in fp32 and $half in bf16"
full=$(loss full)

say "naive attention, learned positions, layer norm, a padded vocabulary and an untied head in bf16"
expect 0 "$LOCKSTEP" train run.yaml --run gpt2 --use-amp --no-rope --no-rmsnorm --no-swiglu --no-flash-attention \
    --set model.vocab_multiple=96 --set model.tie=false --set model.logit_softcap=20
expect 0 ranks 2 "$LOCKSTEP" train run.yaml --run gpt2-2 --use-amp --no-rope --no-rmsnorm --no-swiglu --no-flash-attention \
    --set model.vocab_multiple=96 --set model.tie=false --set model.logit_softcap=20
same_run runs/gpt2 runs/gpt2-2 without_ranks

say "a loss scale is a power of two, and in fp32 changes no bit; it grows after its window"
expect 0 "$LOCKSTEP" train run.yaml --run scaled --set train.loss_scaling=dynamic --set train.loss_scale=64 --set train.loss_scale_window=5
unscaled() { without_ranks "$1" | sed -E 's/, "loss_scale": [0-9]+//'; }
[[ $(unscaled runs/scaled/metrics.jsonl) == "$(unscaled runs/full/metrics.jsonl)" ]] || die "the loss scale changes bits of fp32"
scales() { sed -nE 's/.*"loss_scale": ([0-9]+).*/\1/p' "runs/$1/metrics.jsonl" | uniq | paste -sd ' '; }
same "scales" "64 128 256" "$(scales scaled)"

say "fp16: bits on several ranks; a scale that is too large falls, skips are counted and told, training goes on"
fp16=(--set train.precision=fp16)
expect 0 "$LOCKSTEP" train run.yaml --run fp16 "${fp16[@]}"
expect 0 ranks 3 "$LOCKSTEP" train run.yaml --run fp16-3 "${fp16[@]}"
same_run runs/fp16 runs/fp16-3 without_ranks
half=$(loss fp16)
awk "BEGIN { d = ($full - $half) / $full; exit !(d < 0.005 && d > -0.005) }" || die "fp32 ends at $full, fp16 at $half"
expect 0 "$LOCKSTEP" train run.yaml --run large "${fp16[@]}" --set train.loss_scale=16777216 --set train.steps=24
tells 'is skipped: its loss or gradient is not finite, so the loss scale is halved' "the skipped step"
awk -v first="$(scales large | cut -d ' ' -f 1)" -v last="$(scales large | awk '{ print $NF }')" 'BEGIN { exit !(last < first) }' ||
    die "the scales are $(scales large)"
grep -q '"skipped": false' runs/large/metrics.jsonl || die "no step was done"
awk "BEGIN { exit !($(loss large) < 4.5) }" || die "it learned nothing: $(loss large)"

say "the scale is a part of the state: a resumed run goes on with it"
cp -r runs/large runs/resumed && rm -r runs/resumed/ckpt/step-000000{18,24}
expect 0 "$LOCKSTEP" train --resume runs/resumed
same_run runs/large runs/resumed
expect 0 "$LOCKSTEP" ckpt show runs/large
prints '^  loss scale [0-9]+ for [0-9]+ steps$' "the scale"
refuses 2 'gradients in fp16 vanish without it' "$LOCKSTEP" train run.yaml --run none "${fp16[@]}" --set train.loss_scaling=off
cp -r runs/large runs/other-scale && rm -r runs/other-scale/ckpt/step-000000{18,24}
expect 0 "$LOCKSTEP" train --resume runs/other-scale --set train.loss_scale=256
[[ $(scales other-scale) == *" 256" ]] || die "another first scale is not taken: $(scales other-scale)"
expect 0 "$LOCKSTEP" train run.yaml --run double --set train.precision=fp64 --set train.steps=6
refuses 3 'its parameters are fp64 and those of this run fp32' "$LOCKSTEP" train --resume runs/double --set train.precision=bf16
