#!/usr/bin/env bash
# Whatever is wrong is told in one line that names it, with the right exit status, and leaves nothing behind.
# shellcheck source=tests/cli/lib.sh disable=SC1091
source "$(dirname "$0")/lib.sh"
need_ranks

tiny_config tiny.yaml
: >empty.txt
printf 'Once upon a time' >short.txt # 16 bytes: a context, and no token after it
seq 1000 >long.txt
mkdir folder
expect 0 "$LOCKSTEP" train tiny.yaml --run whole --set data.train=long.txt

# rejects STATUS REGEX OPTION...: a new run is not begun.
rejects() {
    local status=$1 regex=$2
    shift 2
    refuses "$status" "$regex" "$LOCKSTEP" train tiny.yaml --run refused "$@"
}

say "data"
rejects 3 'no-such\.txt: cannot read data: No such file.*stories' --set data.train=no-such.txt
rejects 3 'no-such\.txt: cannot read data: No such file' --set data.train=long.txt --set data.val=no-such.txt
rejects 3 'empty\.txt: the file is empty' --set data.train=empty.txt
rejects 3 'empty\.txt: the file is empty' --set data.train=long.txt --set data.val=empty.txt
rejects 3 'short\.txt: has 16 tokens, but .* 16 and the one after it; use a longer text or a smaller' \
    --set data.train=short.txt --set data.val=long.txt
rejects 3 'short\.txt: has 16 tokens' --set data.train=long.txt --set data.val=short.txt
rejects 3 'folder: is a folder without \.tokens files; make some with lockstep data make' --set data.train=folder
rejects 2 "'stories:many' is not 'stories'.*stories:BYTES:SEED" --set data.train=stories:many
rejects 3 'long\.txt: byte 0 is 49, but model\.vocab is 49; .*model\.vocab: 256' \
    --set data.train=long.txt --set model.vocab=49
rejects 3 'long\.txt: byte 16 is 57, but model\.vocab is 57' \
    --set data.train=long.txt --set data.val= --set model.vocab=57
if [[ $(id -u) != 0 ]]; then
    cp long.txt locked.txt && chmod a-r locked.txt
    rejects 3 'locked\.txt: cannot read data: Permission denied' --set data.train=locked.txt
fi

say "configuration on the command line"
rejects 2 "--set: unknown key 'train\.stesp'; did you mean 'train\.steps'\?" --set train.stesp=4
rejects 2 "--set: unknown key 'widht'; did you mean 'model\.width'\?" --set widht=16
rejects 2 "--set: unknown key 'gqxzkvwyq'; .*--help-config" --set gqxzkvwyq=1
rejects 2 "--set: 'model' is a section: set its keys, such as 'model\.mixer'" --set model=1
rejects 2 '--set: train\.lr: 0 is out of range \(above 0, up to 10\)' --set train.lr=0
rejects 2 '--set: train\.slots: 0 is out of range \(1 to 65536\)' --set train.slots=0
rejects 2 "--set: train\.steps: 'many' is not a whole number" --set train.steps=many
rejects 2 "--set: train\.steps: '1\.5' is not a whole number" --set train.steps=1.5
rejects 2 "--set: train\.lr: 'fast' is not a number" --set train.lr=fast
rejects 2 "--set: model\.bias: 'maybe' is not true or false" --set model.bias=maybe
rejects 2 "--set: train\.schedule: 'cosinus' is not one of: .*cosine" --set train.schedule=cosinus
rejects 2 'model\.heads: 3 does not divide model\.width 16; 2 or 4 do' --set model.heads=3
rejects 2 'train\.seq_len: 17 is more than model\.context 16' --set train.seq_len=17
rejects 2 'data\.val: the fraction 1\.5 is not between 0 and 1' --set data.val=1.5
rejects 2 "--set: 'train\.steps' is not KEY=VALUE, such as train\.steps=100" --set train.steps
rejects 2 "--set: '=4' is not KEY=VALUE" --set =4
rejects 2 "name: 'up/there' is not the name of one folder; runs_dir" --set name=up/there
rejects 2 "--gradient-accumulation-steps: .*micro_batches_per_slot: 0 is out of range" --gradient-accumulation-steps 0

say "configuration in a file: the message says the line"
sed '3s/train:/trian:/' tiny.yaml >section.yaml
refuses 2 "section\.yaml:3: unknown key 'data\.trian'; did you mean 'data\.train'\?" "$LOCKSTEP" train section.yaml
sed '4s/steps: 4/steps: four/' tiny.yaml >type.yaml
refuses 2 "type\.yaml:4: train\.steps: 'four' is not a whole number" "$LOCKSTEP" train type.yaml
sed '2s/width: 16/width: [16, 16]/' tiny.yaml >list.yaml
refuses 2 'list\.yaml:2: model\.width: a list is given where a whole number is meant' "$LOCKSTEP" train list.yaml
sed '5s/}//' tiny.yaml >brace.yaml
refuses 2 'brace\.yaml:[0-9]+: ' "$LOCKSTEP" train brace.yaml
refuses 2 'empty\.txt: is empty; .*--help-config' "$LOCKSTEP" train empty.txt
refuses 2 'no-such\.yaml: No such file' "$LOCKSTEP" train no-such.yaml
refuses 2 'no-such\.yaml: No such file' "$LOCKSTEP" plan no-such.yaml
refuses 2 "type\.yaml:4: train\.steps: 'four' is not a whole number" "$LOCKSTEP" plan type.yaml

say "commands and options"
refuses 2 "unknown command 'trian'; .*--help" "$LOCKSTEP" trian
expect 2 "$LOCKSTEP"
complains "a command is missing"
tells '^  lockstep train ' "the list of commands"
for command in train eval generate plan; do
    refuses 2 "lockstep $command: unknown option or missing value at '--wrong'; see 'lockstep $command --help'" \
        "$LOCKSTEP" "$command" --wrong
    refuses 2 "lockstep $command: give .*; see 'lockstep $command --help'" "$LOCKSTEP" "$command"
done
for command in data ckpt; do
    refuses 2 "lockstep $command: say .*; see 'lockstep $command --help'" "$LOCKSTEP" "$command"
    refuses 2 "lockstep $command: say .*; see 'lockstep $command --help'" "$LOCKSTEP" "$command" wrong
done
refuses 2 "lockstep train: unknown option or missing value at '--set'" "$LOCKSTEP" train tiny.yaml --set
refuses 2 "lockstep train: 'more\.yaml' is one argument too many" "$LOCKSTEP" train tiny.yaml more.yaml
refuses 2 'lockstep train: give a CONFIG\.yaml, or --resume RUNDIR' "$LOCKSTEP" train tiny.yaml --resume runs/whole
refuses 2 '--resume folder: there is no folder/config\.yaml; name the folder of a run' "$LOCKSTEP" train --resume folder
refuses 2 "--tokens: 'ten' is not a whole number" "$LOCKSTEP" generate runs/whole --prompt 1 --tokens ten
refuses 2 '--top-p: 2 is out of range \(0 to 1\)' "$LOCKSTEP" generate runs/whole --prompt 1 --top-p 2
refuses 2 '--rank: 4, but ranks count from 0 to 3' "$LOCKSTEP" plan tiny.yaml --ranks 4 --rank 4
refuses 2 '9 ranks, but train\.slots is 8: ' "$LOCKSTEP" plan tiny.yaml --ranks 9
refuses 2 "--corpus: there is one, 'stories'" "$LOCKSTEP" data make --corpus novels --out novels.txt
refuses 2 '--out is missing' "$LOCKSTEP" data make --corpus stories
refuses 1 'long\.txt/out: cannot write: Not a directory' "$LOCKSTEP" data make --corpus stories --bytes 99 --out long.txt/out

say "eval and generate"
refuses 3 'no-such\.txt: cannot read data: No such file' "$LOCKSTEP" eval runs/whole --data no-such.txt
refuses 3 'empty\.txt: the file is empty' "$LOCKSTEP" eval runs/whole --data empty.txt
refuses 3 'short\.txt: has 16 tokens' "$LOCKSTEP" eval runs/whole --data short.txt
refuses 3 'no-such-run: no such folder; name a checkpoint .* or a run' "$LOCKSTEP" eval no-such-run --data long.txt
refuses 2 '--prompt is empty; give the model at least one character' "$LOCKSTEP" generate runs/whole --prompt ''
refuses 2 "--prompt TEXT is missing; see 'lockstep generate --help'" "$LOCKSTEP" generate runs/whole
refuses 3 'no-such-run: no such folder; name a checkpoint .* or a run' "$LOCKSTEP" generate no-such-run --prompt 1
refuses 3 'folder: there is no checkpoint in this folder' "$LOCKSTEP" generate folder --prompt 1
refuses 3 'no-such-run: no such folder' "$LOCKSTEP" ckpt hash no-such-run
refuses 3 'folder: there is no checkpoint in this folder' "$LOCKSTEP" ckpt verify folder

say "the run's folder"
refuses 2 "runs/whole: a run of this name is there already; .*--resume runs/whole.*--run NAME" \
    "$LOCKSTEP" train tiny.yaml --run whole
rejects 1 "long\.txt: cannot make this folder: File exists; set runs_dir" --set runs_dir=long.txt/runs
rejects 1 "/proc/no-such: cannot make this folder: .*; set runs_dir" --set runs_dir=/proc/no-such
if [[ $(id -u) != 0 ]]; then
    mkdir sealed && chmod a-w sealed
    rejects 1 "sealed/refused: cannot make this folder: Permission denied; set runs_dir" --set runs_dir=sealed
fi

say "under a launcher: one message, from one rank"
refuses 2 '9 ranks, but train\.slots is 8: .*start at most 8 ranks or set train\.slots higher' \
    ranks 9 "$LOCKSTEP" train tiny.yaml --run refused
refuses 2 "--set: unknown key 'train\.stesp'; did you mean 'train\.steps'\?" \
    ranks 3 "$LOCKSTEP" train tiny.yaml --run refused --set train.stesp=4
refuses 2 "unknown option or missing value at '--wrong'" ranks 3 "$LOCKSTEP" train tiny.yaml --wrong
refuses 3 'no-such\.txt: cannot read data' ranks 3 "$LOCKSTEP" train tiny.yaml --run refused --set data.train=no-such.txt
refuses 2 'runs/whole: a run of this name is there already' ranks 3 "$LOCKSTEP" train tiny.yaml --run whole

say "a checkpoint of another architecture"
step=runs/whole/ckpt/step-00000004
refuses 3 "$step.*model\.width: 32 \(this run\) but 16 \(the checkpoint\)" \
    "$LOCKSTEP" train --resume runs/whole --set model.width=32
refuses 3 "$step.*model\.width: 32 \(this run\) but 16 \(the checkpoint\)" \
    ranks 2 "$LOCKSTEP" train --resume runs/whole --set model.width=32
expect 0 "$LOCKSTEP" train --resume runs/whole # as it was

say "damaged checkpoints: a resume passes over to the older one; alone they end it"
# damage KIND CHECKPOINT: the word that tells it is in $told, the file in $hurt.
damage() {
    local shard=$2/shard-00000-of-00001.h5
    hurt=$shard
    case $1 in
    truncated) truncate -s -1000 "$shard" && told='less than the [0-9]+ of the manifest' ;;
    grown) echo >>"$shard" && told='more than the [0-9]+ of the manifest' ;;
    flipped)
        local byte
        byte=$(od -An -tu1 -j 60000 -N 1 "$shard")
        # shellcheck disable=SC2059 # the format is the byte
        printf "\\$(printf %o $((byte ^ 16)))" | dd of="$shard" bs=1 seek=60000 conv=notrunc status=none
        told='the content of bytes .* is not what was saved'
        ;;
    missing) rm "$shard" && told='this file is missing' ;;
    manifest-cut) hurt=$2/manifest.json && truncate -s -40 "$hurt" && told='this is not JSON' ;;
    manifest-edited)
        hurt=$2/manifest.json
        sed -i 's/"adam_step":[^,]*/"adam_step":\t9/' "$hurt" && told='damaged or edited'
        ;;
    manifest-empty) hurt=$2/manifest.json && : >"$hurt" && told='the file is empty' ;;
    esac
}

for kind in truncated grown flipped missing manifest-cut manifest-edited manifest-empty; do
    rm -rf runs/hurt && cp -r runs/whole runs/hurt
    step=runs/hurt/ckpt/step-00000004
    damage "$kind" "$step"
    cmp -s "$hurt" "${hurt/hurt/whole}" && die "$kind: $hurt is not damaged"
    refuses 3 "$hurt: .*$told.*; use an earlier checkpoint .*ckpt ls runs/hurt/ckpt" "$LOCKSTEP" ckpt verify "$step"
    refuses 3 "$hurt: .*$told" "$LOCKSTEP" ckpt hash "$step"
    refuses 3 "$hurt: .*$told" "$LOCKSTEP" eval "$step"
    refuses 3 "$hurt: .*$told" "$LOCKSTEP" generate "$step" --prompt 1
    if [[ $kind != flipped ]]; then # ls looks at sizes, and does not read all
        expect 0 "$LOCKSTEP" ckpt ls runs/hurt
        prints "^step-00000004 .*$told" "that $kind is not whole"
    fi
    cp -r runs/hurt runs/alone && rm -r runs/alone/ckpt/step-00000002
    expect 3 "$LOCKSTEP" train --resume runs/alone
    tells "^passed over step-00000004: ${hurt/hurt/alone}: .*$told"
    complains 'runs/alone/ckpt: none of the 1 checkpoints in this folder is whole'
    [[ $(cd runs/alone && tree) == "$(cd runs/hurt && rm -r ckpt/step-00000002 && tree)" ]] ||
        die "$kind: a resume that failed changed the run"
    rm -r runs/alone

    rm -r runs/hurt && cp -r runs/whole runs/hurt && damage "$kind" "$step"
    expect 0 "$LOCKSTEP" train --resume runs/hurt
    tells "^passed over step-00000004: $hurt: .*$told"
    tells '^resumed at step 2$'
    same_run runs/whole runs/hurt
    expect 0 "$LOCKSTEP" ckpt verify "$step"
done

say "a resume on 2 ranks passes over a damaged checkpoint, too, and says so once"
rm -rf runs/hurt && cp -r runs/whole runs/hurt && damage flipped runs/hurt/ckpt/step-00000004
expect 0 ranks 2 "$LOCKSTEP" train --resume runs/hurt
[[ $(grep -c '^passed over step-00000004: ' "$ERR") == 1 ]] || die "what was passed over is not told once"
same_run runs/whole runs/hurt without_ranks

# only_step RUN STEP: the one checkpoint of the run, and nothing half-written.
only_step() {
    local found
    found=$(cd "$1/ckpt" && echo ./*)
    [[ $found == "./$2" ]] || die "$1/ckpt holds '$found', not '$2'"
}

say "a full disk, by the limit on a file's size: the checkpoint that does not fit"
# limited KIB COMMAND...: no file can grow above that. What it prints goes through a pipe, which has no size.
limited() { (trap '' XFSZ && ulimit -f "$1" && shift && exec "$@") 2>&1 | cat >&2; }
# The shard of 112 KiB does not fit; config, log and metrics do.
expect 1 limited 60 "$LOCKSTEP" train tiny.yaml --run full
complains 'runs/full/ckpt/step-00000002\.tmp/shard-00000-of-00001\.h5: cannot write: File too large'
only_step runs/full '*'
say "and the one after it: the last whole one stays, and the run goes on from there when there is room"
cp -r runs/whole runs/later && rm -r runs/later/ckpt/step-00000004
expect 1 limited 60 "$LOCKSTEP" train --resume runs/later
complains 'runs/later/ckpt/step-00000004\.tmp/shard-00000-of-00001\.h5: cannot write: File too large'
only_step runs/later step-00000002
say "no room for anything: a resume leaves the run as it was"
before=$(cd runs/later && tree)
expect 1 limited 0 "$LOCKSTEP" train --resume runs/later
complains 'runs/later/.*: cannot .*: File too large'
[[ $(cd runs/later && tree) == "$before" ]] ||
    die "runs/later has changed: $(cd runs/later && diff <(echo "$before") <(tree))"
expect 0 "$LOCKSTEP" train --resume runs/later
same_run runs/whole runs/later

# A file system of 1200 KiB holds one checkpoint, and not the MiB that a second one asks for. It is mounted for the
# command alone, so that nothing is left.
mounted() {
    local names=(unshare --mount)
    [[ $(id -u) == 0 ]] || names=(unshare --user --map-root-user --mount)
    # shellcheck disable=SC2016 # the inner shell reads its own arguments
    "${names[@]}" bash -c 'mount -t tmpfs -o size=1200k none "$1" || exit 99; shift; "$@"' mounted "$@" 2>&1
}
# shellcheck disable=SC2016 # the same
full_disk='"$1" train tiny.yaml --set runs_dir=disk --set train.steps=6 --run full; echo "status $?"
ls disk/full/ckpt; "$1" ckpt verify disk/full; echo "status $?"'
mkdir disk
if mounted disk true >"$OUT" 2>"$ERR"; then
    say "a full disk, by a small file system"
    expect 0 mounted disk bash -c "$full_disk" inner "$LOCKSTEP"
    # All that the three commands said is on standard output.
    prints '^lockstep: disk/full/ckpt: the disk is too full for this checkpoint: .* needed, .* free$'
    same "what is there after a save that failed" \
        "$(grep -E '^(status|step-)' "$OUT" | grep -v 'loss' | tr '\n' ' ')" "status 1 step-00000002 status 0 "
    prints '^disk/full/ckpt/step-00000002: whole$'
    [[ ! $(ls disk) ]] || die "the small file system was not mounted"
else
    skip "a full disk, by a small file system: it cannot be mounted here"
fi

echo "bad_input: all checks hold"
