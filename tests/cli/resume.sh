#!/usr/bin/env bash
# Nothing is lost: a run that was stopped or killed and resumed, also on another number of ranks, gives the bits of a run
# that never stopped.
# shellcheck source=tests/cli/lib.sh disable=SC1091
source "$(dirname "$0")/lib.sh"
need_ranks

# A step takes some 0.1 s on one core, so that there is time to stop between the first and the last.
cat >run.yaml <<'YAML'
name: straight
model: {layers: 2, width: 64, heads: 4, context: 64, dropout: {attention: 0.1, residual: 0.1, embedding: 0.1}}
data: {train: "stories:100000:1", val: 0.1}
train: {steps: 20, slots: 8, micro_batch: 4, micro_batches_per_slot: 2, warmup: 5, eval_every: 5, eval_batches: 4}
ckpt: {every: 5, keep: 3}
YAML

# start RUN COMMAND...: in the background, as $job.
start() {
    local run=$1
    shift
    # shellcheck disable=SC2034 # lib.sh shows it
    LAST="$*"
    "$@" >"$OUT" 2>"$ERR" </dev/null &
    job=$!
    background+=("$job")
    watched=$run
}

# stop SIGNAL STATUS
stop() {
    kill -s "$1" "$job" || die "$watched is gone before it could be sent SIG$1"
    ends
    [[ $status == "$2" ]] || die "after SIG$1 $watched ends with status $status, not $2"
}

# step_of RUN: the step of its newest checkpoint.
step_of() { "$LOCKSTEP" ckpt show "$1" | awk '$1 == "step" { print $2 }'; }

# stopped RUN: it has saved the step that it stopped at, in the middle of the run.
stopped() {
    local step
    step=$(step_of "runs/$1")
    ((step > 0 && step < 20)) || die "$1 was stopped at step '$step', which is not in its middle"
    [[ $(wc -l <"runs/$1/metrics.jsonl") == "$step" ]] || die "$1 saved step $step, but its metrics end elsewhere"
    expect 0 "$LOCKSTEP" ckpt verify "runs/$1"
}

# clean RUN: only checkpoints are left in the folder of checkpoints.
clean() {
    local entry
    for entry in "runs/$1"/ckpt/*; do
        [[ ${entry##*/} =~ ^step-[0-9]{8}$ ]] || die "$entry is left over"
    done
}

say "a run that never stops"
expect 0 "$LOCKSTEP" train run.yaml
[[ $(wc -l <runs/straight/metrics.jsonl) == 21 ]] || die "20 steps and the last evaluation must give 21 lines of metrics"
[[ $(grep -c val_loss_hex runs/straight/metrics.jsonl) == 4 ]] || die "there must be 4 evaluations"
clean straight

for signal in TERM INT USR1; do
    say "stopped by SIG$signal, then resumed"
    start "$signal" "$LOCKSTEP" train run.yaml --run "$signal"
    after_step 6
    stop "$signal" 75
    tells "stopped by .* at step [0-9]+; the state is saved: go on with 'lockstep train --resume runs/$signal'"
    stopped "$signal"
    cp -r "runs/$signal" "runs/$signal-stopped"
    expect 0 "$LOCKSTEP" train --resume "runs/$signal"
    tells "^resumed at step $(step_of "runs/$signal-stopped")\$"
    same_run runs/straight "runs/$signal"
    clean "$signal"
done

say "a second SIGINT ends it at once; the last checkpoint is whole"
for ((status = 75, tries = 0; status == 75 && tries < 5; tries++)); do # it may save and end in between
    rm -rf runs/twice-INT
    start twice-INT "$LOCKSTEP" train run.yaml --run twice-INT
    after_step 6
    kill -s INT "$job"
    sleep 0.01
    kill -s INT "$job"
    ends
done
[[ $status == 130 ]] || die "after two SIGINT it ends with status $status"
[[ $(step_of runs/twice-INT) == 5 ]] || die "the newest checkpoint is not that of step 5"
expect 0 "$LOCKSTEP" train --resume runs/twice-INT
same_run runs/straight runs/twice-INT

# In the background, since the data of this one takes a while.
stopped_early() {
    local name=$1
    shift
    start early "$@" train run.yaml --run early --set data.train=stories:60000000:1 --set data.val=stories:1000:2
    sleep 0.7
    stop "$name" 75
    tells 'stopped by .* before the first step; run the same command again'
    [[ ! -e runs/early ]] || die "a run that was stopped before its first step leaves a folder"
}
say "stopped before the first step: nothing is there yet"
stopped_early TERM "$LOCKSTEP"
stopped_early INT "$LOCKSTEP"
stopped_early USR1 "$MPIRUN" -np 2 "$LOCKSTEP"

say "stopped in the middle of a long evaluation"
start evaluating "$LOCKSTEP" train run.yaml --run evaluating --set data.val=stories:10000000:3 --set train.eval_batches=10000
after_step 4
sleep 0.3
SECONDS=0
stop TERM 75
((SECONDS < 5)) || die "it takes $SECONDS s to stop in an evaluation"
same "the step that is saved" 5 "$(step_of runs/evaluating)"
same "the lines of metrics" 5 "$(wc -l <runs/evaluating/metrics.jsonl)"

say "stopped once more, after a resume"
cp -r runs/TERM-stopped runs/twice
start twice "$LOCKSTEP" train --resume runs/twice
after_step 12
stop TERM 75
stopped twice
expect 0 "$LOCKSTEP" train --resume runs/twice
same_run runs/straight runs/twice

# killed RUN STEP:SECONDS...: kills the run so long after each of these steps, and resumes it each time, to its end.
killed() {
    local run=$1 moment
    shift
    for moment in "$@"; do
        after_step "${moment%:*}"
        sleep "${moment#*:}"
        stop KILL 137
        start "$run" "$LOCKSTEP" train --resume "runs/$run"
    done
    ends
    [[ $status == 0 ]] || die "the last resume ends with status $status"
    same_run runs/straight "runs/$run"
    clean "$run"
}

say "killed three times, at no convenient moment"
start killed "$LOCKSTEP" train run.yaml --run killed
killed killed 6:0.01 9:0.03 13:0.02
tells '^resumed at step (10|15)$'

say "killed before the first checkpoint: begins again"
start unsaved "$LOCKSTEP" train run.yaml --run unsaved --set ckpt.every=0
after_step 3
stop KILL 137
expect 0 "$LOCKSTEP" train --resume runs/unsaved
same_run runs/straight runs/unsaved

say "killed again and again while each step is saved"
start saving "$LOCKSTEP" train run.yaml --run saving --set ckpt.every=1 --set ckpt.keep=2
killed saving 2:0.001 4:0.002 6:0.004 8:0.008 10:0.012 12:0.020

say "metrics that reach beyond the checkpoint and end in half a line"
cp -r runs/TERM-stopped runs/torn
step=$(step_of runs/torn)
for beyond in 0 1 2; do
    echo "{\"step\": $((step + beyond)), \"loss\": 1, \"loss_hex\": \"0x1p+0\", \"skipped\": false}"
done >>runs/torn/metrics.jsonl
printf '{"step": %d, "los' $((step + 3)) >>runs/torn/metrics.jsonl
expect 0 "$LOCKSTEP" train --resume runs/torn
same_run runs/straight runs/torn

say "which checkpoints are kept: the newest, every so many steps, the best; also after a resume"
# A learning rate with which the loss first falls and then grows.
keeping=(--set train.lr=0.3 --set train.eval_every=2 --set ckpt.every=2)
kept() { (cd "runs/$1/ckpt" && printf '%s ' step-* | sed 's/step-0*//g; s/ $//'); }
expect 0 "$LOCKSTEP" train run.yaml --run all "${keeping[@]}" --set ckpt.keep=0
# best_of MOST: the step of the lowest validation loss up to that step.
best_of() {
    sed -nE 's/^\{"step": ([0-9]+),.*"val_loss": ([0-9.e+-]+),.*/\2 \1/p' runs/all/metrics.jsonl | awk -v most="$1" '$2 <= most' | sort -g |
        awk 'NR == 1 { print $2 }'
}
with_best() { printf '%s\n' 10 20 "$1" | sort -nu | tr '\n' ' ' | sed 's/ $//'; }
best=$(best_of 18) # the state after the last step is evaluated when it is saved already
((best < 18)) || die "the loss does not grow: its lowest is at step $best"
meant=$(with_best "$best")
keeping+=(--set ckpt.keep=1 --set ckpt.keep_every=10 --set ckpt.keep_best=1)
expect 0 "$LOCKSTEP" train run.yaml --run kept "${keeping[@]}"
same "the checkpoints that are kept" "$meant" "$(kept kept)"
start kept-later "$LOCKSTEP" train run.yaml --run kept-later "${keeping[@]}"
after_step 15
stop KILL 137
expect 0 "$LOCKSTEP" train --resume runs/kept-later
same "the checkpoints that are kept after a resume" "$meant" "$(kept kept-later)"
same_run runs/kept runs/kept-later

say "ckpt prune: tells, deletes, keeps what verifies"
before=$(kept all)
expect 0 "$LOCKSTEP" ckpt prune runs/all --keep 1 --keep-every 10 --keep-best 1 --dry-run
same "the checkpoints after a dry run" "$before" "$(kept all)"
cp "$OUT" told
expect 0 "$LOCKSTEP" ckpt prune runs/all --keep 1 --keep-every 10 --keep-best 1
same "what it tells, and what a dry run told" "$(cat told)" "$(cat "$OUT")"
same "the checkpoints that are left" "$(with_best "$(best_of 20)")" "$(kept all)"
refuses 2 'ckpt.keep of this run is 0' "$LOCKSTEP" ckpt prune runs/all
refuses 2 'name one run' "$LOCKSTEP" ckpt prune
refuses 2 'name the folder of a run' "$LOCKSTEP" ckpt prune runs/all/ckpt
truncate -s 100 runs/all/ckpt/step-00000020/view.h5 # the newest is broken: the one before it stays, whatever is asked for
expect 0 "$LOCKSTEP" ckpt prune runs/all --keep 1
[[ " $(kept all) " == *" 10 "* ]] || die "the newest whole checkpoint was deleted"
truncate -s 100 runs/all/ckpt/step-00000010/view.h5
refuses 3 'none of the .* checkpoints in this folder is whole' "$LOCKSTEP" ckpt prune runs/all --keep 1
start pruned "$LOCKSTEP" train run.yaml --run pruned --set train.steps=100000 --set ckpt.every=2
after_step 4
LAST="ckpt prune beside a run" refused=0
"$LOCKSTEP" ckpt prune runs/pruned --keep 1 >"$OUT" 2>"$ERR" || refused=$?
[[ $refused == 2 ]] || die "it prunes while the run trains"
complains 'another process trains in this folder'
stop KILL 137

say "a finished run is resumed: nothing to do, nothing changes"
cp -r runs/straight runs/finished
expect 0 "$LOCKSTEP" train --resume runs/finished
same_run runs/straight runs/finished
same "the checkpoints" "$(cd runs/straight/ckpt && tree)" "$(cd runs/finished/ckpt && tree)"

say "begun in one process, resumed on 3 ranks"
cp -r runs/TERM-stopped runs/wider
expect 0 ranks 3 "$LOCKSTEP" train --resume runs/wider
tells ' 3 ranks on backend'
same_run runs/straight runs/wider without_ranks

say "begun on 2 ranks and stopped by SIGUSR1, resumed in one process"
start narrower "$MPIRUN" -np 2 "$LOCKSTEP" train run.yaml --run narrower
after_step 6
stop USR1 75
tells 'stopped by .* at step [0-9]+; the state is saved'
stopped narrower
cp -r runs/narrower runs/killed-rank
expect 0 "$LOCKSTEP" train --resume runs/narrower
tells ' 1 rank on backend'
same_run runs/straight runs/narrower without_ranks

# Launchers end with a status of their own after SIGTERM, and give the ranks a few seconds.
say "the launcher of 2 ranks is stopped by SIGTERM"
start launcher "$MPIRUN" -np 2 "$LOCKSTEP" train run.yaml --run launcher
after_step 6
kill -s TERM "$job"
ends
[[ $status != 0 ]] || die "a stopped launcher ends with status 0"
expect 0 ranks 2 "$LOCKSTEP" train --resume runs/launcher
same_run runs/straight runs/launcher without_ranks

if command -v pgrep >/dev/null; then
    say "one of 3 ranks is killed, and the run is resumed on 2"
    start killed-rank "$MPIRUN" -np 3 "$LOCKSTEP" train --resume runs/killed-rank
    after_step 11
    kill -s KILL "$(pgrep -P "$job" | tail -n 1)" || die "there is no rank to kill"
    ends
    [[ $status != 0 ]] || die "a run that lost a rank ends with status 0"
    expect 0 ranks 2 "$LOCKSTEP" train --resume runs/killed-rank
    same_run runs/straight runs/killed-rank without_ranks
else
    skip "one of 3 ranks is killed: there is no pgrep to find it with"
fi

echo "resume: all checks hold"
