#!/usr/bin/env bash
# The promise of the name: the same bits on any number of ranks and threads.
# shellcheck source=tests/cli/lib.sh disable=SC1091
source "$(dirname "$0")/lib.sh"
need_ranks

# config NAME SLOTS MICRO_BATCHES_PER_SLOT DROPOUT: a model of several 64Ki chunks, so that more than one rank owns
# parameters.
config() {
    cat >"$1.yaml" <<YAML
name: $1
model: {layers: 2, width: 96, heads: 4, context: 16, dropout: {attention: $4, residual: $4, embedding: $4}}
data: {train: "stories:20000:1", val: 0.1}
train: {steps: 5, slots: $2, micro_batch: 2, micro_batches_per_slot: $3, lr: 0.01, warmup: 1, eval_every: 2, eval_batches: 7}
ckpt: {every: 3, keep: 0}
dist: {bucket_mb: 0.3}
YAML
}

# on RANKS CONFIG RUN [OPTION...]: one run, which must have used all its ranks.
on() {
    local count=$1 config=$2 run=$3
    shift 3
    expect 0 ranks "$count" "$LOCKSTEP" train "$config.yaml" --run "$run" "$@"
    tells " $count ranks? on backend" "that $count ranks took part"
    [[ -f runs/$run/ckpt/step-00000005/shard-00000-of-$(printf %05d "$count").h5 ]] ||
        die "the checkpoint of $run is not cut into $count shards"
    expect 0 "$LOCKSTEP" ckpt show "runs/$run"
    [[ $count == 1 ]] || prints ' 1:\[' "that the second rank owns parameters"
}

# whole RUN: the run has reported what is compared below.
whole() {
    [[ $(grep -c '"loss_hex": "0x' "runs/$1/metrics.jsonl") == 5 ]] || die "$1 has not 5 steps with the bits of the loss"
    [[ $(grep -c '"val_loss_hex": "0x' "runs/$1/metrics.jsonl") == 3 ]] || die "$1 has not 3 evaluations"
}

config eight 8 2 0.1
config five 5 2 0.1

expect 0 "$LOCKSTEP" train eight.yaml
whole eight
for count in 1 2 3 4 8; do
    say "8 slots, dropout: $count rank(s) under $MPIRUN and one process without it"
    on "$count" eight "eight-$count"
    same_run runs/eight "runs/eight-$count" without_ranks
    a=$(hash_of runs/eight/ckpt/step-00000003) && b=$(hash_of "runs/eight-$count/ckpt/step-00000003") || exit 1
    same "the hashes in the middle of the runs" "$a" "$b"
done

expect 0 "$LOCKSTEP" train five.yaml
whole five
for count in 1 2 3 5; do
    say "5 slots, dropout: $count rank(s) and one process"
    on "$count" five "five-$count"
    same_run runs/five "runs/five-$count" without_ranks
done

say "2 threads and 1 thread, in one process and on 2 ranks"
OMP_NUM_THREADS=2 expect 0 "$LOCKSTEP" train eight.yaml --run threads
same_run runs/eight runs/threads
OMP_NUM_THREADS=2 on 2 eight threads-2
same_run runs/eight runs/threads-2 without_ranks

say "another seed, another cut of the same batch: other bits"
expect 0 "$LOCKSTEP" train eight.yaml --run seed --set train.seed=1338
a=$(hash_of runs/eight) && b=$(hash_of runs/seed) || exit 1
differ "the hashes of two seeds" "$a" "$b"
differ "the losses of two seeds" "$(without_ranks runs/eight/metrics.jsonl)" "$(without_ranks runs/seed/metrics.jsonl)"

# Masks of dropout are drawn for each slot and micro-batch, so only without them is another cut the same sum.
say "the same batch in 8 slots of 2 and in 4 slots of 4 micro-batches agrees to rounding"
config cut8 8 2 0
config cut4 4 4 0
expect 0 "$LOCKSTEP" train cut8.yaml
expect 0 "$LOCKSTEP" train cut4.yaml
losses() { grep -Eo '"(val_)?loss": [0-9.e+-]+' "runs/$1/metrics.jsonl"; }
[[ $(losses cut8 | wc -l) == 8 ]] || die "cut8 has not 8 losses"
paste <(losses cut8) <(losses cut4) |
    awk '{ d = $2 - $4; if ($1 != $3 || d > 1e-5 || d < -1e-5) { print; bad = 1 } } END { exit bad }' >"$OUT" ||
    die "the two cuts of the batch differ by more than 1e-5"
# The same must tell apart what is not the same batch.
expect 0 "$LOCKSTEP" train cut4.yaml --run half --set train.micro_batches_per_slot=2
paste <(losses cut8) <(losses half) | awk '{ d = $2 - $4; if (d > 1e-5 || d < -1e-5) bad = 1 } END { exit !bad }' ||
    die "half a batch gives the losses of a whole one"

echo "ranks: all checks hold"
