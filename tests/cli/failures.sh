#!/usr/bin/env bash
# A rank that dies, hangs, fails, or whose memory changes by itself ends the job soon, with one line that names it; nothing is
# left behind, the last checkpoint is good, and the run goes on from it to the bits of one that nothing happened to.
# shellcheck source=tests/cli/lib.sh disable=SC1091
source "$(dirname "$0")/lib.sh"
need_ranks
[[ -r /proc/self/stat ]] || { skip "there is no /proc to see processes in" && exit 0; }

host=$(uname -n)
host=${host:0:63}
most_s=${LOCKSTEP_MOST_S:-12} # from the step before the fault to the end of the job; 5 s are usual with dist.timeout_s: 3

# At once, so that it is certain what is saved by which step; tests/crash is about saves beside training.
cat >run.yaml <<'YAML'
name: straight
model: {layers: 2, width: 96, heads: 4, context: 16, vocab: 1024, dropout: {attention: 0.1, residual: 0.1, embedding: 0.1}}
data: {train: "stories:20000:1", val: 0.1}
train: {steps: 12, slots: 8, micro_batch: 2, lr: 0.01, warmup: 1, eval_every: 5, eval_batches: 7}
ckpt: {every: 4, keep: 0, async: false}
dist: {bucket_mb: 0.3, timeout_s: 3}
YAML
guard=(--set guard.every=1 --set guard.audit_every=1)

# Each rank tells its process before it becomes the program.
cat >report <<'SCRIPT'
#!/bin/sh
echo $$ >"pids/$OMPI_COMM_WORLD_RANK"
exec "$@"
SCRIPT
chmod +x report

# start FAULT RUN OPTION...: 3 ranks in the background, as $job.
start() {
    local fault=$1
    run=$2 watched=$2
    shift 2
    rm -rf pids && mkdir pids
    LAST="LOCKSTEP_FAULT=$fault $MPIRUN -np 3 lockstep train run.yaml --run $run $*"
    LOCKSTEP_FAULT=$fault "$MPIRUN" -np 3 ./report "$LOCKSTEP" train run.yaml --run "$run" "$@" >"$OUT" 2>"$ERR" </dev/null &
    job=$!
    background+=("$job")
}

now_ms() { echo $((${EPOCHREALTIME/[.,]/} / 1000)); }

# nothing_left: no rank is there any more, within 5 s, not as a zombie either.
nothing_left() {
    local file id tries=0
    [[ $(cat pids/* | sort -u | wc -l) == 3 ]] || die "three ranks have not told their processes"
    for file in pids/*; do
        id=$(cat "$file")
        while grep -aq "$run" "/proc/$id/cmdline" 2>/dev/null; do
            ((++tries < 50)) || die "rank ${file#pids/}, process $id, is left behind"
            sleep 0.1
        done
    done
}

# launcher_crashed: mpirun itself, not a rank, ended by a signal, as Open MPI 4.1.4 now and then does in PMIx after an abort. Its status says
# nothing then, and all else is checked as ever; once in all, no more.
launcher_crashes=0
launcher_crashed() {
    ((status == 139)) && grep -q "^\[[^]]*:$job\] \*\*\* Process received signal" "$ERR" && grep -q 'libpmix\|libopen-rte' "$ERR" || return
    say "(mpirun itself crashed when it ended this job: its status is not compared)"
    ((++launcher_crashes == 1))
}

# checkpoints RUN: the steps it has saved; nothing else may lie there.
checkpoints() { (cd "runs/$1/ckpt" && printf '%s ' * | sed 's/step-0*//g; s/ $//'); }

# fault KIND:RANK:STEP RUN STATUS REGEX OPTION...: the fault ends the job as it should.
fault() {
    local fault=$1 meant=$3 regex=$4 kind rank step begin took
    IFS=: read -r kind rank step <<<"$fault"
    run=$2
    shift 4
    start "$fault" "$run" "$@"
    after_step $((step - 1))
    begin=$(now_ms)
    ends
    took=$(($(now_ms) - begin))
    say "$kind of rank $rank at step $step${*/--set/}: status $status after $((took / 1000)).$(printf %03d $((took % 1000))) s"
    [[ $status == "$meant" ]] || launcher_crashed || die "$run ends with status $status, not $meant"
    complains "$regex"
    grep '^lockstep: ' "$ERR" | grep -q " on $host" || die "the message does not name the host"
    nothing_left
    ((took < most_s * 1000)) || die "that takes longer than $most_s s"
    same "the checkpoints of $run" "${saved:-$((step / 4 * 4))}" "$(checkpoints "$run")"
    expect 0 "$LOCKSTEP" ckpt verify "runs/$run"
}

# goes_on [COMMAND...]: the last run is resumed, to the bits of a run that nothing happened to.
goes_on() {
    expect 0 "$@" "$LOCKSTEP" train --resume "runs/$run"
    tells '^resumed at step 4$'
    same_run runs/straight "runs/$run" without_ranks
}

# unnoticed KIND:RANK:STEP RUN OPTION...: the run goes to its end, and its end is another.
unnoticed() {
    local a b
    start "$@"
    ends
    [[ $status == 0 ]] || die "$run ends with status $status"
    nothing_left
    a=$(hash_of runs/straight) && b=$(hash_of "runs/$run") || exit 1
    differ "the hashes of straight and $run" "$a" "$b"
}

expect 0 "$LOCKSTEP" train run.yaml

say "no fault: guard and audit do not change a bit"
expect 0 ranks 1 "$LOCKSTEP" train run.yaml --run guarded-1 "${guard[@]}"
same_run runs/straight runs/guarded-1 without_ranks
expect 0 ranks 2 "$LOCKSTEP" train run.yaml --run guarded-2 "${guard[@]}" --set dist.zero=1
same_run runs/straight runs/guarded-2 without_ranks
expect 0 ranks 3 "$LOCKSTEP" train run.yaml --run guarded-3 "${guard[@]}"
same_run runs/straight runs/guarded-3 without_ranks
expect 0 ranks 3 "$LOCKSTEP" train run.yaml --run guarded-zero2 "${guard[@]}" --set dist.zero=2
same_run runs/straight runs/guarded-zero2 without_ranks
expect 0 "$LOCKSTEP" train run.yaml --run bf16 --set train.precision=bf16 --set train.micro_batches_per_slot=2
expect 0 ranks 3 "$LOCKSTEP" train run.yaml --run guarded-bf16 "${guard[@]}" --set train.precision=bf16 --set train.micro_batches_per_slot=2 --set dist.zero=2
same_run runs/bf16 runs/guarded-bf16 without_ranks

# gone RANK, hangs RANK: what another rank says of it.
# What ranks do together at that moment. With ZeRO parameters may still be on their way, which step 5 has sent.
elements="of elements \[[0-9]+, [0-9]+\)"
of_the_step="((exchange|all_gather) $elements of step 6|all_gather $elements of step 5)"
gone() { echo "^lockstep: rank [0-2] on [^ ]+: step 6: rank $1 on [^ ]+ \(process $2\) is gone: it died before $of_the_step was done\$"; }
hangs() { echo "^lockstep: rank [0-2] on [^ ]+: step 6: rank $1 on [^ ]+ \(process [0-9]+\) does not come to $of_the_step: waited [3-9] s \(dist.timeout_s is 3\)"; }
differs() { echo "^lockstep: guard: at step $2 $3 of rank $1 on [^ ]+ differ from those of 2 other ranks, first in tensor [a-z]"; }
shard() { echo "^lockstep: rank $1 on [^ ]+: guard: at step $2 this rank's shard of $3 is not what the last update left"; }
audit() { echo "^lockstep: audit: slot $3 of step 6, computed by rank $1 on [^ ]+ and again by rank $2 on [^ ]+: "; }

say "ranks that die, hang, or fail; none of them is left"
fault kill:1:6 kill-1 137 "$(gone 1 '[0-9]+')"
goes_on ranks 3
fault kill:0:6 kill-0 137 "$(gone 0 '[0-9]+')" --set dist.zero=2
goes_on
vendor_step="(all_reduce of elements \[[0-9]+, [0-9]+\)|gather_losses|gather_norms) of step 6"
fault kill:1:6 kill-vendor 137 "^lockstep: rank [0-2] on [^ ]+: step 6: rank 1 on [^ ]+ \(process [0-9]+\) is gone: it died before $vendor_step was done\$" \
    --set dist.reduce=vendor
fault stop:1:6 stop-1 1 "$(hangs 1)"
goes_on
fault stop:1:6 stop-vendor 1 "^lockstep: rank [0-2] on [^ ]+: step 6: another rank does not come to $vendor_step: waited [3-9] s \(dist.timeout_s is 3\)" --set dist.reduce=vendor
fault stop:0:6 stop-0 1 "$(hangs 0)" --set dist.zero=2 --set dist.progress=thread
goes_on ranks 2
# In a checkpoint: who comes to it is waited for as in a step; files have a limit of their own.
saved=4
fault stop-save:1:8 stop-save-1 1 '^lockstep: rank [0-2] on [^ ]+: rank 1 on [^ ]+ \(process [0-9]+\) does not come to the checkpoint of step 8: waited [3-9] s \(dist.timeout_s is 3\)'
goes_on
fault stop-files:1:8 stop-files-1 1 '^lockstep: rank [0-2] on [^ ]+: rank 1 on [^ ]+ \(process [0-9]+\) does not come to the files of the checkpoint of step 8: waited [56] s \(ckpt.timeout_s is 5\)' --set ckpt.timeout_s=5
goes_on
saved="4 8 12"
fault stop-end:1:12 stop-end-1 1 '^lockstep: rank [0-2] on [^ ]+: rank 1 on [^ ]+ \(process [0-9]+\) does not come to the end: waited [3-9] s \(dist.timeout_s is 3\)'
saved=
fault fail:2:6 fail-2 1 '^lockstep: rank 2 on [^ ]+: step 6: LOCKSTEP_FAULT asked for this failure$' --set dist.zero=1
goes_on

say "memory that changes by itself, found by the guard before it is saved"
fault flip-params:1:6 params-1 1 "$(differs 1 6 params)" "${guard[@]}"
goes_on
fault flip-params:2:6 params-2 1 "$(differs 2 6 params)" "${guard[@]}" --set dist.zero=2
goes_on
fault flip-moments:0:6 moments-0 1 "$(differs 0 6 adam.m)" "${guard[@]}"
goes_on
fault flip-moments:1:6 moments-1 1 "$(shard 1 6 adam.m)" --set guard.every=1 --set dist.zero=1
goes_on ranks 3
fault flip-moments:2:6 moments-2 1 "$(shard 2 6 adam.m)" --set guard.every=1 --set dist.zero=2
fault flip-moments:2:5 every-2 1 "$(differs 2 6 "(params|adam.m)")" --set guard.every=2
goes_on
fault flip-params:1:7 before-ckpt 1 "$(differs 1 8 params)" --set guard.every=100
goes_on

say "what one rank alone has, between a resume and the first update"
rm -rf runs/moments-2/ckpt/step-00000008 runs/moments-2/ckpt/step-00000012
LOCKSTEP_FAULT=flip-moments:1:4 expect 1 ranks 3 "$LOCKSTEP" train --resume runs/moments-2 --set dist.zero=1 --set guard.every=100
complains "$(shard 1 4 adam.m)"

say "ranks that do not train the same: found at the start"
cat >apart <<'SCRIPT'
#!/bin/sh
program=$1
shift
[ "$OMPI_COMM_WORLD_RANK" != 2 ] || set -- "$@" $APART
exec "$program" "$@"
SCRIPT
chmod +x apart
for APART in "--set train.lr=0.02" "--set dist.zero=1" "--set train.seed=7" "--set train.slots=6" "--set guard.every=1"; do
    key=${APART#--set }
    export APART
    refuses 2 "^lockstep: rank 2 on [^ ]+: the configuration is not the same as on rank 0 on [^ ]+: '${key/=/: }' here, '${key%=*}: [^']*' there; " \
        ranks 3 ./apart "$LOCKSTEP" train run.yaml --run apart
    [[ ! -e runs/apart ]] || die "a run that is refused leaves a folder"
done
cat >elsewhere <<'SCRIPT'
#!/bin/sh
[ "$OMPI_COMM_WORLD_RANK" = 1 ] && cd there || cd here
exec "$@"
SCRIPT
chmod +x elsewhere
mkdir here there
expect 0 "$LOCKSTEP" data make --corpus stories --out here/text.txt --bytes 20000 --seed 1
expect 0 "$LOCKSTEP" data make --corpus stories --out there/text.txt --bytes 20000 --seed 2
refuses 2 "^lockstep: rank 1 on [^ ]+: the data is not the same as on rank 0 on [^ ]+: '.* text.txt.*' here, '.* text.txt.*' there; give all ranks the same" \
    ranks 3 ./elsewhere "$LOCKSTEP" train "$PWD/run.yaml" --set data.train=text.txt

say "a slot that is computed wrongly, by its owner and by the one that audits it"
fault flip-compute:2:6 compute-2 1 "$(audit 2 0 6)" "${guard[@]}"
goes_on
fault flip-compute:0:6 compute-0 1 "$(audit 0 1 6)" "${guard[@]}" --set dist.zero=2
goes_on
fault flip-compute:1:6 compute-1 1 "$(audit 0 1 3)" --set guard.audit_every=2 --set dist.zero=2

say "without the guard, or without the audit, the same faults go by, and end in other bits"
unnoticed flip-params:1:6 unseen-params --set guard.audit_every=0
unnoticed flip-moments:2:6 unseen-moments --set dist.zero=2
unnoticed flip-compute:2:6 unseen-compute --set guard.every=1

say "a rank that stands still for 2 s does not end the job"
start stop:1:6 slow --set dist.timeout_s=10
after_step 5
sleep 2
kill -0 "$job" || die "the job has not waited"
[[ $(wc -l <runs/slow/metrics.jsonl) == 6 ]] || die "rank 1 did not stand still"
[[ $(awk '{ print $3 }' "/proc/$(cat pids/1)/stat") == T ]] || die "rank 1 is not stopped"
kill -s CONT "$(cat pids/1)"
ends
[[ $status == 0 ]] || die "it ends with status $status"
! grep -q '^lockstep: ' "$ERR" || die "something was said about it"
same_run runs/straight runs/slow without_ranks
nothing_left

say "a job that is suspended as a whole for longer than dist.timeout_s goes on"
start "" suspended --set train.micro_batches_per_slot=2
after_step 2
kill -s STOP "$(cat pids/1)" "$(cat pids/2)" || die "it has ended before it could be stopped"
sleep 0.5 # rank 0 waits for them
kill -s STOP "$(cat pids/0)"
sleep 4
kill -s CONT "$(cat pids/0)" # and looks at the clock before they are back
sleep 0.3
kill -s CONT "$(cat pids/1)" "$(cat pids/2)"
ends
[[ $status == 0 ]] || die "it ends with status $status"
! grep -q '^lockstep: ' "$ERR" || die "something was said about it"
expect 0 "$LOCKSTEP" train run.yaml --run twice --set train.micro_batches_per_slot=2
same_run runs/twice runs/suspended without_ranks
nothing_left

say "a fault that is none is refused"
for fault in boom:1:2 kill:1 kill kill:x:1 kill:1:2x kill:1:2:3; do
    LOCKSTEP_FAULT=$fault refuses 2 "LOCKSTEP_FAULT: '$fault' is not KIND:RANK:STEP" "$LOCKSTEP" train run.yaml --run no
done
LOCKSTEP_FAULT=kill:3:1 refuses 2 "LOCKSTEP_FAULT: 'kill:3:1' .*one of the 3 ranks" ranks 3 "$LOCKSTEP" train run.yaml --run no

echo "failures: all checks hold"
