#!/usr/bin/env bash
# Ranks that have a GPU each, which tests/shim plays ($SHIM: the program with it), and NCCL, for which it has a stand-in over MPI that is never
# early: bits, what goes over the wire, graphs, the choice of GPUs, and what happens when ranks, devices or the network fail.
# $ONLY=bits: the first part alone, which finds mistakes planted by tests/shim/planted_wire.
# shellcheck source=tests/cli/lib.sh disable=SC1091
source "$(dirname "$0")/lib.sh"
[[ ${SHIM:-} && -x $SHIM ]] || die "SHIM must name the program on the shim, not '${SHIM:-}'"
need_ranks
printf '#!/bin/sh\nexec timeout 100 %s "$@"\n' "$MPIRUN" >"$SCRATCH/mpirun" && chmod +x "$SCRATCH/mpirun"
MPIRUN=$SCRATCH/mpirun # a job that hangs fails the test
export LOCKSTEP_ALGORITHMS=$SCRATCH/algorithms.txt SHIM_DEVICES=4 SHIM_REPORT=1 SHIM_NCCL_LATE=3

cat >run.yaml <<'YAML'
name: one
backend: cuda
model: {layers: 2, width: 64, heads: 4, context: 16, vocab: 1024, dropout: {attention: 0.1, residual: 0.1, embedding: 0.1}}
data: {train: "stories:20000:1", val: 0.1}
train: {steps: 4, slots: 4, micro_batch: 1, lr: 0.01, warmup: 1, eval_every: 2, eval_batches: 3}
ckpt: {every: 2, keep: 0}
dist: {bucket_mb: 0.3, timeout_s: 30}
YAML

# same_bits COUNT RUN OPTION...: as on one rank; nothing is launched op by op that could be recorded.
same_bits() {
    local count=$1 run=$2
    shift 2
    expect 0 ranks "$count" "$SHIM" train run.yaml --run "$run" "$@"
    ! grep -q 'warning: ' "$ERR" || die "$run warns"
    same_run runs/one "runs/$run" without_ranks
}

say "1, 2 and 3 ranks with each ZeRO stage have the same bits, where messages are late"
expect 0 "$SHIM" train run.yaml
tells 'shim: [1-9][0-9]* graphs launched' "graphs"
same_bits 2 two-0
tells 'shim: [1-9][0-9]* graphs launched' "graphs"
same_bits 3 three-1 --set dist.zero=1
same_bits 3 three-2 --set dist.zero=2
export SHIM_LAZY=1 # messages leave as early as they may, and what is computed comes as late
same_bits 2 lazy-0
same_bits 3 lazy-2 --set dist.zero=2 --set train.graphs=false
unset SHIM_LAZY
[[ ${ONLY:-} != bits ]] || exit 0
same_bits 2 two-2 --set dist.zero=2 --set train.recompute=block

say "and without overlap, op by op, poisoned, and where ranks share a GPU"
same_bits 2 joint --set dist.zero=1 --set dist.overlap=false
same_bits 2 eager --no-compile
tells 'shim: 0 graphs launched' "no graph"
same_bits 2 no-graphs --set train.graphs=false --set dist.zero=2
tells 'shim: 0 graphs launched' "no graph"
export LOCKSTEP_POISON=1
same_bits 2 poisoned --set dist.zero=1
unset LOCKSTEP_POISON
export SHIM_DEVICES=1 NCCL_HOSTID=for-tests
same_bits 2 crowded --set dist.zero=1
tells 'share a GPU: for tests' "that ranks share a GPU"
export SHIM_DEVICES=4
unset NCCL_HOSTID

say "a run goes on with another number of ranks, to the same bits; in bf16, too"
cp -r runs/two-0 runs/on-three && rm -r runs/on-three/ckpt/step-00000004
expect 0 ranks 3 "$SHIM" train --resume runs/on-three --set dist.zero=2
same "weights of 2 ranks that went on as 3" "$(hash_of runs/one)" "$(hash_of runs/on-three)"
expect 0 "$SHIM" train run.yaml --run bf16 --set train.precision=bf16
expect 0 ranks 3 "$SHIM" train run.yaml --run bf16-3 --set train.precision=bf16 --set dist.zero=1 --set train.steps=2 --set train.warmup=1
expect 0 ranks 2 "$SHIM" train --resume runs/bf16-3 --set train.steps=4
expect 0 ranks 2 "$SHIM" train run.yaml --run bf16-2 --set train.precision=bf16
same "weights in bf16" "$(hash_of runs/bf16)" "$(hash_of runs/bf16-2)"

say "the library's own sums: losses agree to 1e-5"
for zero in 0 1; do
    expect 0 ranks 3 "$SHIM" train run.yaml --run "vendor-$zero" --set dist.reduce=vendor --set dist.zero=$zero
    paste <(grep -o '"loss": [0-9.]*' runs/one/metrics.jsonl) <(grep -o '"loss": [0-9.]*' "runs/vendor-$zero/metrics.jsonl") |
        awk '{ d = $2 - $4; if (d < 0) d = -d; n++; if (d > 1e-5 * $2) { print; exit 1 } } END { exit n < 4 }' || die "losses of vendor-$zero differ"
done
expect 0 ranks 2 "$SHIM" train run.yaml --run wired --set dist.reduce=vendor --set dist.wire=bf16

say "timelines show every op, message and wait of the plan"
for zero in 0 2; do
    expect 0 ranks 3 "$SHIM" train run.yaml --run "traced-$zero" --set dist.zero=$zero --trace "trace-$zero.json"
    expect 0 "${CHECK_TRACE:?must name the program that holds a timeline against a plan}" "trace-$zero.json" "runs/traced-$zero/config.yaml" 3 2 4
    [[ $(grep -o '"cat":"communication' "trace-$zero.json" | wc -l) -gt 10 ]] || die "messages are not in the timeline"
    same_run runs/one "runs/traced-$zero" without_ranks
done

say "bytes on the wire are those of the plan"
# sent RUN STEPS OPTION...: bytes that each rank sent, one a line, in the order of ranks.
sent() {
    local run=$1 steps=$2
    shift 2
    SHIM_NCCL_COUNT=$PWD/count-$run expect 0 ranks 3 "$SHIM" train run.yaml --run "$run" --set train.steps="$steps" --set train.eval_every=0 \
        --set data.val= --set ckpt.every=0 "$@"
    sort -n "count-$run" | cut -d ' ' -f 2
}
for zero in 0 1 2; do
    sent "less-$zero" 2 --set dist.zero=$zero >fewer_steps
    sent "more-$zero" 4 --set dist.zero=$zero >more_steps
    for rank in 0 1 2; do "$LOCKSTEP" plan run.yaml --json --ranks 3 --rank $rank --set dist.zero=$zero --set backend=cpu >plan.json && grep -m 1 -o '"wire_bytes":[^,]*' plan.json | grep -o '[0-9]*'; done >planned
    paste fewer_steps more_steps planned | awk '{ if ($2 - $1 != 2 * $3 || $3 < 1000) exit 1 } END { exit NR != 3 }' || die "with ZeRO $zero: $(paste fewer_steps more_steps planned)"
done

say "each rank its own GPU, or none of them one"
SHIM_DEVICES=1
expect 2 ranks 2 "$SHIM" train run.yaml --run shared
complains 'rank 0 on [^ ]+ has the same GPU as another rank: start one rank a GPU'
expect 0 ranks 2 "$SHIM" train run.yaml --run shared-auto --set backend=auto --set train.steps=1
tells 'the CPU computes: rank 0 on [^ ]+ shares its GPU' "why the CPU computes"
SHIM_DEVICES=4
# with_rank_1 VARIABLE=VALUE OPTION...: three ranks, of which the second has this in its environment.
with_rank_1() {
    local set=$1
    shift
    "$MPIRUN" -np 1 "$SHIM" train run.yaml "$@" : -np 1 -x "$set" "$SHIM" train run.yaml "$@" : -np 1 "$SHIM" train run.yaml "$@"
}
expect 1 with_rank_1 SHIM_DEVICES=0 --run lacking --set backend=auto
complains 'rank 1 on [^ ]+ has no GPU that can be used, while others have'
expect 1 with_rank_1 SHIM_FAIL=cudaMalloc:3:2 --run small
complains 'out of memory'

say "the doctor: GPUs by name, and what is wrong with one of them"
doctor=(doctor run.yaml --seconds 0.2)
expect 0 ranks 3 "$SHIM" "${doctor[@]}" --use-amp
prints '^device +shim$' "the device"
prints '^computes with +driver for CUDA 13.0, .*NCCL 2.28.3$' "the libraries"
prints '^gradients +[0-9a-f]{32}, ' "the bits"
expect 1 "$MPIRUN" -np 2 "$SHIM" "${doctor[@]}" : -np 1 -x SHIM_FAIL=cudaMalloc:3:2 "$SHIM" "${doctor[@]}"
complains '1 problem found; the first: rank 2 on [^ ]+: its device fails: GPU 2 .*out of memory'
expect 1 "$MPIRUN" -np 2 "$SHIM" "${doctor[@]}" : -np 1 -x SHIM_DEVICES=0 "$SHIM" "${doctor[@]}"
complains '1 problem found; the first: rank 2 on [^ ]+: its device cannot be used: .*the driver shows no GPU'
LOCKSTEP_FAULT=flip-params:1:0 expect 1 ranks 3 "$SHIM" "${doctor[@]}"
complains 'rank 1 on [^ ]+: its device computes wrong'

say "ranks, devices and networks that fail end the job soon; all leave NCCL"
unset SHIM_NCCL_LATE
most_s=${LOCKSTEP_MOST_S:-40} # 5 to 10 s are usual where nothing else runs
# fails STATUS REGEX COMMAND...: within the time; one line tells; every rank that lives has left NCCL.
fails() {
    local meant=$1 regex=$2 begin=$SECONDS
    shift 2
    expect "$meant" "$@" --set dist.timeout_s="${limit:-3}" --set train.steps=40 --set ckpt.every=0 --set train.eval_every=0
    complains "$regex"
    [[ $(grep -ac '^shim: nccl: aborted' "$ERR") -ge ${leaving:-3} ]] || die "not all of ${leaving:-3} ranks left NCCL"
    ((SECONDS - begin < most_s)) || die "that takes longer than $most_s s"
    ! pgrep -f "$SHIM train run.yaml" >/dev/null || { sleep 3 && ! pgrep -f "$SHIM train run.yaml" >/dev/null; } || die "a rank is left behind"
}
at='(exchange|all_gather|gather_losses|gather_norms)( of elements \[[0-9]+, [0-9]+\))? of step [0-9]+'
talk="(a talk of all ranks of step [0-9]+|$at)"
export LOCKSTEP_FAULT=kill:1:3
leaving=2 fails 137 "rank 1 on [^ ]+ \(process [0-9]+\) is gone: it died before $talk was done" ranks 3 "$SHIM" train run.yaml --run killed
export LOCKSTEP_FAULT=stop:1:3
leaving=2 fails 1 "rank 1 on [^ ]+ \(process [0-9]+\) does not come to $talk: waited [3-9] s" ranks 3 "$SHIM" train run.yaml --run stopped --set dist.zero=1
unset LOCKSTEP_FAULT
fails 1 "the device of rank 1 on [^ ]+ \(process [0-9]+\) does not come to $at: waited [3-9] s|rank 1 on [^ ]+ \(process [0-9]+\) does not come to $talk" \
    with_rank_1 SHIM_HANG=mark:60 --run hung-device
SHIM_NCCL_STOPS=20 fails 1 "the devices of all ranks have begun $at, and none gets through it" ranks 3 "$SHIM" train run.yaml --run hung-network
limit=10 fails 1 'NCCL: remote process exited' with_rank_1 SHIM_NCCL_BREAKS=20 --run broken
limit=10 fails 1 'NCCL: .* while sending' with_rank_1 SHIM_FAIL=ncclGroupEnd:20:3 --run refused

say "a rank that the others do not meet in NCCL"
export SHIM_FAIL=ncclCommInitRankConfig:1:2
expect 1 "$MPIRUN" -np 2 "$SHIM" train run.yaml --run not-met
complains 'NCCL: .* while meeting the other ranks'
unset SHIM_FAIL
expect 1 with_rank_1 SHIM_NCCL_NEVER=1 --run never-met --set dist.timeout_s=3
complains 'the start of NCCL: waited [3-9] s|rank 1 on [^ ]+ .*does not come to'

say "what cannot be recorded runs op by op, and says so"
SHIM_FAIL=cudaGraphInstantiate:1:1 expect 0 ranks 2 "$SHIM" train run.yaml --run not-recorded
tells 'warning: .* runs op by op, since it cannot be recorded as a graph: .*\(train.graphs: false does not try\)' "why not"
same_run runs/one runs/not-recorded without_ranks
