#!/usr/bin/env bash
# The promise over all that must not change a bit: ranks, ZeRO stages, threads, and how gradients travel; for each type, and
# for runs that go on from a checkpoint of other ranks and another stage. By default a choice of some 25 launches; with the
# argument `soak`, or LOCKSTEP_SOAK=1, all of them: minutes, with a line for each.
# shellcheck source=tests/cli/lib.sh disable=SC1091
source "$(dirname "$0")/lib.sh"
need_ranks
soak=
[[ ${1:-} != soak && ${LOCKSTEP_SOAK:-0} != 1 ]] || soak=1
export OMP_WAIT_POLICY=passive

# Ten 64Ki chunks, so that each of 8 ranks owns parameters in each stage.
cat >run.yaml <<'YAML'
name: run
model: {layers: 2, width: 96, heads: 4, context: 16, vocab: 4096, dropout: {attention: 0.1, residual: 0.1, embedding: 0.1}}
data: {train: "stories:20000:1", val: 0.1}
train: {steps: 5, slots: 8, micro_batch: 2, lr: 0.01, warmup: 1, eval_every: 2, eval_batches: 7}
ckpt: {every: 3, keep: 0}
dist: {bucket_mb: 0.3}
YAML

launches=0 straight=0 resumed=0 SECONDS=0

# reference NAME OPTION...: one process without mpirun, which later runs are compared with.
reference() {
    local name=$1
    shift
    OMP_NUM_THREADS=1 expect 0 "$LOCKSTEP" train run.yaml --run "$name" "$@"
    [[ $(grep -c '"loss_hex": "0x' "runs/$name/metrics.jsonl") == 5 ]] || die "$name has not 5 steps with the bits of the loss"
    [[ $(grep -c '"val_loss_hex": "0x' "runs/$name/metrics.jsonl") == 3 ]] || die "$name has not 3 evaluations"
}

# took_part RUN RANKS ZERO: the last command's run had so many ranks, which shared what this stage shares. Slices tell stage 0,
# in which a rank owns a row of chunks, from the others, in which it owns a part of each bucket; the memory that the ranks
# take tells stages 1 and 2 apart.
took_part() {
    local run=$1 count=$2 zero=$3 dir=runs/$1/ckpt/step-00000005 shards shown first
    if [[ $count == 1 ]]; then tells ' 1 rank on backend'; else tells " $count ranks on backend" "that $count ranks took part"; fi
    shards=("$dir"/shard-*.h5)
    [[ ${#shards[@]} == "$count" && -f $dir/shard-00000-of-$(printf %05d "$count").h5 ]] || die "the checkpoint of $run has not $count shards"
    grep -qx "  zero: $zero" "runs/$run/config.yaml" || die "$run was not asked for stage $zero"
    [[ $count != 1 ]] || return 0
    shown=$("$LOCKSTEP" ckpt show "runs/$run") || die "ckpt show runs/$run fails"
    same "the ranks of $run that own parameters" "$count" "$(grep -Eo ' [0-9]+:\[' <<<"$shown" | sort -u | wc -l)"
    grep -qx '  bucket_mb: 0.3' "runs/$run/config.yaml" || return 0 # a single bucket is owned alike in all stages
    first=$(awk '$1 == "params/wte" { gsub(/.*MiB +|:.*/, ""); print }' <<<"$shown")
    same "the first owners in $run" "$([[ $zero == 0 ]] || echo $((count - 1)))" "${first#0}"
}

peak() { grep -Eo '"peak_bytes": [0-9]+' "runs/$1/metrics.jsonl" | sed -n '$s/.* //p'; }

# on REFERENCE RANKS ZERO THREADS OPTION...: a run from the start, as runs/$run; its bits are those of the reference.
on() {
    local reference=$1 count=$2 zero=$3 threads=$4
    shift 4
    launches=$((launches + 1)) straight=$((straight + 1))
    run=$launches-$reference-$count-zero$zero
    say "$reference, $count rank(s), zero $zero, $threads thread(s) ${*/--set/}"
    OMP_NUM_THREADS=$threads expect 0 ranks "$count" "$LOCKSTEP" train run.yaml --run "$run" --set "dist.zero=$zero" "$@"
    took_part "$run" "$count" "$zero"
    same_run "runs/$reference" "runs/$run" without_ranks
}

# again REFERENCE FROM RANKS ZERO THREADS OPTION...: the run FROM goes on from its middle on other ranks, in another stage.
again() {
    local reference=$1 from=$2 count=$3 zero=$4 threads=$5
    shift 5
    launches=$((launches + 1)) resumed=$((resumed + 1))
    say "$reference, from step 3 of $from on $count rank(s), zero $zero, $threads thread(s) ${*/--set/}"
    run=resumed
    rm -rf runs/resumed && cp -r "runs/$from" runs/resumed && rm -r runs/resumed/ckpt/step-00000005
    OMP_NUM_THREADS=$threads expect 0 ranks "$count" "$LOCKSTEP" train --resume runs/resumed --set "dist.zero=$zero" "$@"
    tells '^resumed at step 3$'
    took_part resumed "$count" "$zero"
    same_run "runs/$reference" runs/resumed without_ranks
}

# other A B: the same comparison finds two runs different.
other() {
    local a b
    a=$(hash_of "runs/$1") && b=$(hash_of "runs/$2") || exit 1
    differ "the hashes of $1 and $2" "$a" "$b"
    differ "the metrics of $1 and $2" "$(without_ranks "runs/$1/metrics.jsonl")" "$(without_ranks "runs/$2/metrics.jsonl")"
}

bf16=(--set train.precision=bf16)
reference fp32
reference bf16 "${bf16[@]}"

choice() {
    local two=(--set train.micro_batches_per_slot=2) fp16=(--set train.precision=fp16 --set train.loss_scale_window=2) r3z1 r3z2 r8z1 r5z2
    reference two "${two[@]}"
    reference fp16 "${fp16[@]}"
    reference seed --set train.seed=1338
    for pair in "fp32 seed" "fp32 bf16" "fp32 two" "bf16 fp16"; do
        # shellcheck disable=SC2086 # two names
        other $pair
    done
    [[ $(grep -Eo '"loss_scale": [0-9]+' runs/fp16/metrics.jsonl | sort -u | wc -l) == 3 ]] || die "the loss scale of fp16 does not move"

    on fp32 1 2 2
    on fp32 2 2 2 --set train.recompute=block
    on fp32 3 0 1 --set dist.progress=thread
    r3z0=$run
    on fp32 3 1 1
    r3z1=$run
    on fp32 3 2 1
    r3z2=$run
    (($(peak "$r3z0") > $(peak "$r3z1") && $(peak "$r3z1") > $(peak "$r3z2"))) || die "stages do not save memory"
    on fp32 5 2 1 --set dist.progress=thread
    r5z2=$run
    on fp32 8 1 1
    r8z1=$run
    on fp32 4 2 1 --set dist.overlap=false
    on fp32 5 1 1 --set dist.overlap=false --set train.compile=false
    on fp32 8 2 1 --set dist.bucket_mb=25
    on two 3 2 1 "${two[@]}"
    on two 5 0 1 "${two[@]}" --set train.recompute=selective
    on bf16 2 1 2 "${bf16[@]}"
    on bf16 3 2 1 "${bf16[@]}" --set train.recompute=block
    on bf16 8 0 1 "${bf16[@]}"
    b8z0=$run
    on bf16 5 2 1 "${bf16[@]}" --set dist.overlap=false
    on fp16 3 2 1 "${fp16[@]}"

    again fp32 "$r8z1" 3 2 1
    again fp32 "$r5z2" 2 0 2
    again fp32 "$r3z2" 8 1 1
    again fp32 "$r3z0" 5 2 1
    again fp32 "$r3z1" 1 0 1
    again bf16 "$b8z0" 3 2 1
}

# everything: each combination from the start; then each pair of rank counts, three times in each type: from each stage once,
# to each stage once, and over all pairs each stage meets each.
everything() {
    local count zero threads type from to k options
    local -A origin=()
    for type in fp32 bf16; do
        options=(--set "train.precision=$type")
        for count in 1 2 3 4 5 8; do
            for zero in 0 1 2; do
                for threads in 1 2; do
                    on "$type" "$count" "$zero" "$threads" "${options[@]}"
                    if [[ $threads == 1 ]]; then origin[$type-$count-$zero]=$run; else rm -r "runs/$run"; fi
                done
            done
        done
    done
    for type in fp32 bf16; do
        for from in 1 2 3 4 5 8; do
            for to in 1 2 3 4 5 8; do
                for k in 0 1 2; do
                    again "$type" "${origin[$type-$from-$k]}" "$to" $(((k + from + to) % 3)) $((1 + k % 2))
                done
            done
        done
    done
    other fp32 bf16
}

if [[ $soak ]]; then everything; else choice; fi
matrix="$launches launches, $straight from the start and $resumed from a checkpoint, all with the bits of one process"

# library RUN WIRE ZERO MOST: 3 ranks, whose sums the library makes: the losses are at most so far from those of the tree, and
# the same again. Libraries scatter in rank order, so that all ranks own parameters only where buckets have chunks for all.
library() {
    local name=$1 wire=$2 zero=$3 most=$4 far a
    for a in "$name" "$name-again"; do
        launches=$((launches + 1))
        expect 0 ranks 3 "$LOCKSTEP" train run.yaml --run "$a" --set dist.reduce=vendor --set "dist.wire=$wire" --set "dist.zero=$zero" \
            --set dist.bucket_mb=1
        took_part "$a" 3 "$zero"
    done
    same_run "runs/$name" "runs/$name-again"
    far=$(paste <(losses fp32) <(losses "$name") | awk '{ d = $2 - $4; if (d < 0) d = -d; if (d > far) far = d } END { print far + 0 }')
    say "sums by the library, wire $wire, zero $zero: twice the same bits; losses at most $far beside those of the tree"
    [[ $(losses "$name" | wc -l) == 8 ]] || die "$name has not 8 losses"
    awk -v far="$far" -v most="$most" 'BEGIN { exit !(far <= most) }' || die "losses of $name differ by $far, more than $most"
}
losses() { grep -Eo '"(val_)?loss": [0-9.e+-]+' "runs/$1/metrics.jsonl"; }

library vendor-fp32 fp32 0 0.0001
library vendor-fp32-zero1 fp32 1 0.0001
library vendor-bf16 bf16 0 0.02
library vendor-bf16-zero1 bf16 1 0.02
other vendor-fp32 vendor-bf16

say "what does not go together is refused"
refuses 2 'dist.wire: bf16 .*dist.reduce: vendor' ranks 3 "$LOCKSTEP" train run.yaml --run no --set dist.wire=bf16
refuses 2 'dist.zero: 2 .*dist.reduce: vendor' ranks 3 "$LOCKSTEP" train run.yaml --run no --set dist.reduce=vendor --set dist.zero=2
refuses 2 'guard.audit_every: .*dist.reduce: vendor' ranks 3 "$LOCKSTEP" train run.yaml --run no --set dist.reduce=vendor --set guard.audit_every=1
refuses 2 'train.slots is 8, but there are 9 ranks|9 ranks' ranks 9 "$LOCKSTEP" train run.yaml --run no

echo "matrix: all checks hold: $matrix; $SECONDS s"
