#!/usr/bin/env bash
# `lockstep train --trace`: the timeline shows what the plan says, and changes nothing of the run.
#
#   CHECK_TRACE  the program that holds a timeline against a plan (required)
# shellcheck source=tests/cli/lib.sh disable=SC1091
source "$(dirname "$0")/lib.sh"
need_ranks
tiny_config tiny.yaml
train=("$LOCKSTEP" train tiny.yaml --set train.steps=6 --set train.eval_every=3)

# check FILE RUN RANKS FIRST END [full]
check() {
    LAST="check_trace $*"
    "$CHECK_TRACE" "$1" "runs/$2/config.yaml" "${@:3}" >"$OUT" 2>"$ERR" || die "$1 is not the timeline of runs/$2"
}

say "one rank: every op as often as it ran, and the same bits as without"
expect 0 "${train[@]}" --run plain
expect 0 "${train[@]}" --run one --trace one.json
tells 'timeline of steps 2 to 5: one.json; open it in https://ui.perfetto.dev'
grep -q 'timeline of steps 2 to 5' runs/one/log.txt || die "the log does not tell of the timeline"
check one.json one 1 2 6
same_run runs/plain runs/one
for lane in step evaluation compute waiting data checkpoint; do
    grep -q "\"cat\":\"$lane\"" one.json || die "nothing on lane $lane"
done

say "ranks with ZeRO: all in one file, with what they exchange"
for zero in 1 2; do
    more=(--set dist.zero="$zero" --set dist.bucket_mb=1)
    expect 0 ranks 2 "${train[@]}" "${more[@]}" --run "zero$zero" --trace "runs/zero$zero/new/t.json" --trace-steps 1:4
    check "runs/zero$zero/new/t.json" "zero$zero" 2 1 4
    grep -q '"name":"exchange","cat":"communication","ph":"X","pid":1' "runs/zero$zero/new/t.json" ||
        die "rank 1 exchanges nothing"
    same_run runs/plain "runs/zero$zero" without_ranks
done
expect 0 ranks 3 "${train[@]}" --set dist.reduce=vendor --set dist.overlap=false --run vendor --trace vendor.json
check vendor.json vendor 3 2 6

say "it is written when its steps are done, and a resumed run has its own"
expect 0 "${train[@]}" --set train.steps=40 --set ckpt.every=0 --run early --trace early.json --trace-steps 0:2
awk '/timeline of steps 0 to 1/ { told = NR } /step 3\/40/ { later = NR } END { exit !(told && told < later) }' "$ERR" ||
    die "the timeline does not come at once"
check early.json early 1 0 2
expect 0 "$LOCKSTEP" train --resume runs/one --set train.steps=9 --trace more.json
tells 'timeline of steps 8 to 8'
check more.json one 1 8 9

say "a stopped run leaves what it has"
"${train[@]}" --set train.steps=1000000 --set train.eval_every=0 --run stopped --trace stopped.json --trace-steps 0:900000 \
    >"$OUT" 2>"$ERR" &
job=$! watched=stopped background+=("$!")
after_step 10
kill -TERM "$job"
ends
same "status after SIGTERM" "$status" 75
grep -q '"steps":"0:' stopped.json || die "no timeline of a stopped run"

say "full memory is told"
expect 0 "${train[@]}" --set train.micro_batches_per_slot=250 --set train.steps=4 --set train.eval_every=0 --run full --trace full.json
tells '^timeline: [0-9]+ slices are left out.*--trace-steps'
check full.json full 1 2 4 full

say "a file that cannot be written is refused before anything is made"
mkdir folder
: >file
refuses 1 'file/t.json: cannot write: Not a directory' "${train[@]}" --run no --trace file/t.json
expect 1 "${train[@]}" --run proc --trace /proc/none/t.json # which the system lets root write, it says
complains "--trace /proc/none/t.json: "
refuses 2 'this is a folder; name a file' "${train[@]}" --run no --trace folder
refuses 2 'name is empty' "${train[@]}" --run no --trace ''
refuses 2 'the last step is 5' "${train[@]}" --run no --trace t.json --trace-steps 6:8
for steps in 3 3:3 -1:2 2:x 2:5x; do
    refuses 2 'write FIRST:END' "${train[@]}" --run no --trace t.json "--trace-steps=$steps"
done
refuses 2 'Give --trace FILE' "${train[@]}" --run no --trace-steps 2:3
refuses 2 'a run of this name is there' "${train[@]}" --run one --trace t.json
expect 2 "$LOCKSTEP" train --resume runs/one --set train.steps=12 --trace t.json --trace-steps 2:4
complains 'these steps are done'
[[ ! -e t.json ]] || die "a refused run left a timeline"
if [[ -w /dev/full ]]; then
    expect 0 "${train[@]}" --run disk --trace /dev/full
    tells 'timeline: /dev/full could not be written: No space left on device; training goes on'
fi
expect 0 "${train[@]}" --set backend=null --set data.val= --run null --trace null.json
tells 'backend null does not time its ops'
grep -q '"name":"step 3"' null.json || die "backend null has no steps"
