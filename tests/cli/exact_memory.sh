#!/usr/bin/env bash
# The plan's memory is what the process takes: its anonymous resident memory is at most 3% beside it, and a constant for libraries
# (MPI, OpenBLAS, HDF5, the data, and the last page of 2 MiB of each allocation) that is stated here.
# shellcheck source=tests/cli/lib.sh disable=SC1091
source "$(dirname "$0")/lib.sh"
[[ -r /proc/self/status ]] || { skip "there is no /proc" && exit 0; }
libraries=$((16 << 20))

cat >run.yaml <<'YAML'
name: run
model: {layers: 4, width: 256, heads: 4, context: 256, vocab: 4096, dropout: {attention: 0.1, residual: 0.1, embedding: 0.1}}
data: {train: "stories:200000:1", val: 0.1}
train: {steps: 3, slots: 2, micro_batch: 6, warmup: 2, eval_every: 3, eval_batches: 2}
ckpt: {last: false}
YAML

# check NAME OPTIONS...
check() {
    local name=$1 planned scratch anonymous most=0 job
    shift
    planned=$("$LOCKSTEP" plan run.yaml "$@" --json | awk '$1 == "\"total\":" { print $2 + 0 }')
    scratch=$("$LOCKSTEP" plan run.yaml "$@" --json | awk '$1 == "\"scratch_per_thread\":" { print $2 + 0 }')
    planned=$((planned + scratch))
    "$LOCKSTEP" train run.yaml "$@" --run "$name" >"$OUT" 2>"$ERR" &
    job=$!
    background+=("$job")
    while anonymous=$(awk '/^RssAnon/ { print $2 * 1024 }' "/proc/$job/status" 2>/dev/null) && [[ $anonymous ]]; do
        ((anonymous > most)) && most=$anonymous
        sleep 0.01
    done
    wait "$job" || die "$name failed"
    say "$name: planned $((planned >> 20)) MiB, taken $((most >> 20)) MiB"
    ((most <= planned + planned * 3 / 100 + libraries)) || die "$name takes $most bytes, and $planned are planned"
    ((most >= planned - planned * 3 / 100)) || die "$name takes $most bytes only: the plan of $planned counts what is not there"
}

check plain
check larger --set model.layers=8 --set train.micro_batch=12
check untied --set model.tie=false --use-swiglu --use-rope --use-rmsnorm --n-kv-heads 2
check naive --no-flash-attention
check recomputed --use-gradient-checkpointing --set train.micro_batch=12
check uncompiled --no-compile
check half --use-amp
check double --set train.precision=fp64
