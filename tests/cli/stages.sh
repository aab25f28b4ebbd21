#!/usr/bin/env bash
# Stage 2 starts from weights: the same architecture, a new optimizer. And the switches of the architecture from end to end.
# shellcheck source=tests/cli/lib.sh disable=SC1091
source "$(dirname "$0")/lib.sh"

tiny_config tiny.yaml
loss() { "$LOCKSTEP" eval "$1" --data stories:3000:9 | awk '$1 == "loss" { print $NF }'; }

say "stage 2 begins with the weights of stage 1, and with nothing else of it"
expect 0 "$LOCKSTEP" train tiny.yaml --run first --use-rope --use-rmsnorm --use-swiglu --n-kv-heads 1
for line in 'position: rope' 'norm: rmsnorm' 'ffn: swiglu' 'kv_heads: 1'; do
    grep -q "$line" runs/first/config.yaml || die "the flags do not set $line"
done
parts=(--use-rope --use-rmsnorm --use-swiglu --n-kv-heads 1)
stage2=(--set train.stage=2 --set train.init_from=runs/first)
expect 0 "$LOCKSTEP" train tiny.yaml "${parts[@]}" "${stage2[@]}" --run same --set train.steps=0
tells 'stage 2: starts from the weights of runs/first/ckpt/step-00000004' "where it starts"
same "losses before the first step" "$(loss runs/first)" "$(loss runs/same)"
expect 0 "$LOCKSTEP" ckpt show runs/same
prints '^ +step +0$' "that its counter starts anew"
expect 0 "$LOCKSTEP" train tiny.yaml "${parts[@]}" "${stage2[@]}" --run tuned --set train.lr=0.0003 --set train.seed=5
differ "losses after training" "$(loss runs/first)" "$(loss runs/tuned)"

say "the same on several ranks, from a checkpoint by name; a stopped run goes on without looking at its origin again"
need_ranks
expect 0 ranks 3 "$LOCKSTEP" train tiny.yaml "${parts[@]}" --set train.stage=2 \
    --set train.init_from=runs/first/ckpt/step-00000004 --run ranks --set train.lr=0.0003 --set train.seed=5
same_run runs/tuned runs/ranks without_ranks
cp -r runs/tuned runs/half && rm -r runs/half/ckpt/step-00000004
mv runs/first runs/moved
expect 0 "$LOCKSTEP" train --resume runs/half
same_run runs/tuned runs/half
mv runs/moved runs/first
grep -q 'init_from: runs/first/ckpt/step-00000004' runs/tuned/config.yaml || die "the config does not say which checkpoint it was"
grep -q 'starts from the weights of' runs/tuned/log.txt || die "the log does not say where it started"
refuses 2 'they say where the run started \(stage 2, runs/first/ckpt/step-00000004\)' "$LOCKSTEP" train --resume runs/half --set train.init_from=runs/none
refuses 2 'they say where the run started \(stage 1\)' "$LOCKSTEP" train --resume runs/first --set train.stage=2 --set train.init_from=runs/tuned

say "another architecture is refused with both values, and training-only switches are free"
refuses 3 'stage 2 needs the architecture .*model.norm: layernorm \(this run\) but rmsnorm \(the checkpoint\)' \
    "$LOCKSTEP" train tiny.yaml "${parts[@]}" "${stage2[@]}" --no-rmsnorm --run other
refuses 3 'model.kv_heads: 2 \(this run\) but 1 \(the checkpoint\)' \
    "$LOCKSTEP" train tiny.yaml "${parts[@]}" "${stage2[@]}" --n-kv-heads 2 --run other
refuses 3 'runs/none: no such folder' \
    "$LOCKSTEP" train tiny.yaml "${parts[@]}" --set train.stage=2 --set train.init_from=runs/none --run other
refuses 2 'name a checkpoint or a run in train.init_from' "$LOCKSTEP" train tiny.yaml --set train.stage=2 --run other
expect 0 "$LOCKSTEP" train tiny.yaml "${parts[@]}" "${stage2[@]}" --run free --use-gradient-checkpointing \
    --no-flash-attention --set model.dropout.residual=0 --set model.context=32 --set train.clip=0.5

say "RoPE can be asked about longer sequences than it was trained on, learned positions cannot"
expect 0 "$LOCKSTEP" eval runs/first --data stories:3000:9 --seq-len 40
prints '^loss +[0-9]' "a loss"
expect 0 "$LOCKSTEP" train tiny.yaml --run learned
refuses 2 'learned positions for 16 tokens only' "$LOCKSTEP" eval runs/learned --data stories:3000:9 --seq-len 17
expect 0 "$LOCKSTEP" eval runs/learned --data stories:3000:9 --seq-len 8

say "generation with a cache says what it says without, for every switch; padding is never drawn"
switches=("--use-rope" "--use-rope --set model.rope_layout=pairs --set model.rope_fraction=0.5" "--use-rmsnorm" "--use-swiglu"
    "--n-kv-heads 1" "--set model.qk_norm=true --use-rope" "--set model.norm_place=post" "--set model.logit_softcap=5"
    "--set model.vocab=250 --set model.vocab_multiple=64 --set model.tie=false")
number=0
for switch in "${switches[@]}"; do
    read -ra words <<<"$switch"
    number=$((number + 1))
    expect 0 "$LOCKSTEP" train tiny.yaml --run switch-$number "${words[@]}" --set train.steps=2
    expect 0 "$LOCKSTEP" generate runs/switch-$number --prompt "The " --tokens 40 --seed 3
    cp "$OUT" cached
    expect 0 "$LOCKSTEP" generate runs/switch-$number --prompt "The " --tokens 40 --seed 3 --no-cache
    cmp -s "$OUT" cached || die "$switch: the cache changes what is generated"
done

expect 0 "$LOCKSTEP" generate runs/switch-$number --prompt "The " --tokens 600 --seed 3 --temperature 100
bytes=$(od -An -v -tu1 -w1 "$OUT" | sort -n | uniq)
(($(tail -n 1 <<<"$bytes") < 250 && $(wc -l <<<"$bytes") > 150)) || die "of 250 tokens and 6 rows of padding these were drawn: $(paste -sd ' ' <<<"$bytes")"

say "every switch on 2 ranks and with accumulation has the bits of one rank"
everything=(--use-rope --use-rmsnorm --use-swiglu --n-kv-heads 1 --set model.qk_norm=true --set model.logit_softcap=5
    --set model.vocab=250 --set model.vocab_multiple=64 --gradient-accumulation-steps 2)
expect 0 "$LOCKSTEP" train tiny.yaml --run one "${everything[@]}"
expect 0 ranks 2 "$LOCKSTEP" train tiny.yaml --run two "${everything[@]}"
same_run runs/one runs/two without_ranks
