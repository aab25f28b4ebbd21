#!/usr/bin/env bash
# data order prints what training reads: a token outside the vocabulary ends a run in just the step whose windows hold it.
# shellcheck source=tests/cli/lib.sh disable=SC1091
source "$(dirname "$0")/lib.sh"

tiny_config tiny.yaml
"$LOCKSTEP" data make --corpus stories --bytes 20000 --out stories.txt >"$OUT" || die "no text"
"$LOCKSTEP" tokenize train --vocab 300 --out tok.json stories.txt >"$OUT" || die "no tokenizer"

# order OPTION...: the lines of sequences, without the header.
order() {
    expect 0 "$LOCKSTEP" data order tiny.yaml "$@"
    grep -v '^#' "$OUT"
}

say "columns, sources, and the numbers of slots, micro-batches and rows"
expect 0 "$LOCKSTEP" data order tiny.yaml --first-step 3 --set train.slots=3 --set train.micro_batches_per_slot=2
same "the header" "$(sed -E '3,$d; s/[0-9]+ tokens/N tokens/' "$OUT")" \
    $'# source 0: stories:20000:1, N tokens\n# step slot micro row source offset'
same "step, slot, micro, row, source" "$(awk '!/^#/ { print $1 $2 $3 $4 $5 }' "$OUT" | tr '\n' ' ')" \
    "30000 30010 30100 30110 31000 31010 31100 31110 32000 32010 32100 32110 "

say "a step's lines are the same wherever printing begins"
whole=$(order --steps 12)
same "the lines of 12 steps, printed in three parts" "$(order --steps 5 && order --first-step 5 && order --first-step 6 --steps 6)" "$whole"
same "sequences of 12 steps" "$(wc -l <<<"$whole")" $((12 * 16))
differ "the orders of two seeds" "$whole" "$(order --steps 12 --set train.seed=2)"

say "each epoch visits every window once, from a shift of its own, in an order of its own"
head -c 1000 stories.txt >short.txt # 61 windows of 16 tokens, and room for a shift
short=(--set data.train=short.txt --set data.val= --set train.slots=1 --set train.micro_batch=1)
for epoch in 0 1 2; do
    order "${short[@]}" --first-step $((61 * epoch)) --steps 61 | awk '{ print $6 }' >"epoch$epoch"
    same "windows of epoch $epoch: number, different ones, shifts, reach" \
        "$(sort -n "epoch$epoch" | awk '{ seen[$1] = 1; shift_[$1 % 16] = 1; if (NR == 1) first = $1; last = $1 }
            END { print NR, length(seen), length(shift_), last - first }')" "61 61 1 $((60 * 16))"
    [[ $(sort -n "epoch$epoch" | tail -n 1) -lt $((1000 - 16)) ]] || die "a window and the token after it end beyond the text"
done
differ "windows of two epochs in order" "$(awk '{ print int($1 / 16) }' epoch0)" "$(awk '{ print int($1 / 16) }' epoch1)"

say "what validation takes is not trained on"
order "${short[@]}" --set data.val=0.5 --steps 200 | awk '{ print $6 }' | sort -n | tail -n 1 >last
prints '^# source 0: short\.txt, 500 tokens$'
(($(<last) < 500 - 16)) || die "offset $(<last) is in the part for validation"

say "a bad token ends training in the step that reads it by this order, and in no other"
bad_token() { # bad_token STEP ROW: in the middle of this sequence
    local at
    at=$(order --set data.train=good.bin --set data.val= --steps 12 | awk -v step="$1" -v row="$2" '$1 == step && n++ == row { print $6 + 8 }')
    [[ $at ]] || die "step $1 has no sequence $2"
    cp good.bin bad.bin
    printf '\220\001' | dd of=bad.bin bs=2 seek="$at" conv=notrunc status=none # 400
    rm -rf runs
    expect 3 "$LOCKSTEP" train tiny.yaml --set data.train=bad.bin --set data.val= --set train.steps=12
    complains "bad\\.bin: token $at is 400, outside"
    same "steps before the one with the bad token" "$(wc -l <runs/tiny/metrics.jsonl)" "$1"
}
for ((i = 0; i < 4000; i++)); do printf '\001\000'; done >good.bin
for step in 0 1 6 11; do bad_token $step $((step % 16)); done

say "mixtures and packed documents"
printf 'data: {train: [3 a.txt, 1 b.txt], val: ""}\n' >mix.yaml
sed -n '/^name\|^model\|^train/p' tiny.yaml >>mix.yaml
cp stories.txt a.txt && head -c 5000 stories.txt >b.txt
expect 0 "$LOCKSTEP" data order mix.yaml --steps 4096 # a block of the mixture
prints '^# source 0: a\.txt, [0-9]+ tokens$'
prints '^# source 1: b\.txt, 5000 tokens$'
same "shares of two sources" "$(awk '!/^#/ { n[$5]++ } END { print n[0], n[1] }' "$OUT")" "49152 16384"
same "offsets of b.txt that are not in it" "$(awk '!/^#/ && $5 == 1 && $6 + 16 >= 5000' "$OUT" | wc -l)" 0
for i in {1..40}; do printf '{"text": "Number %d."}\n' "$i"; done >documents.jsonl
expect 0 "$LOCKSTEP" data make --tokenizer tok.json --out packed documents.jsonl
ends=$(od -An -v -t u2 -w2 -j 256 packed/train-00000.tokens | awk -v end="$("$LOCKSTEP" data show packed/train-00000.tokens |
    awk '/ends with/ { print $3 }')" 'BEGIN { print 0 } $1 == end { print NR }')
order --set data.train=packed/train --set data.val= --set data.documents=packed --set model.vocab=400 --steps 4 >packed.order
same "packed windows that do not begin with a document" "$(awk 'NR == FNR { begin[$1] = 1; next } !($6 in begin)' <(echo "$ends") packed.order)" ""
differ "where packed windows begin" "$(awk '{ print $6 }' packed.order | sort -nu)" 0

say "what is refused"
refuses 2 "give one CONFIG.yaml" "$LOCKSTEP" data order
refuses 2 "give one CONFIG.yaml" "$LOCKSTEP" data order tiny.yaml tiny.yaml
refuses 2 "data order: unknown option or missing value at '--last'" "$LOCKSTEP" data order tiny.yaml --last 3
refuses 2 "--steps: 0 is out of range" "$LOCKSTEP" data order tiny.yaml --steps 0
refuses 2 "--steps: 'many' is not a whole number" "$LOCKSTEP" data order tiny.yaml --steps many
refuses 2 "--first-step: -1 is out of range" "$LOCKSTEP" data order tiny.yaml --first-step -1
refuses 2 "the last step would be 4294967296" "$LOCKSTEP" data order tiny.yaml --first-step 4294967295 --steps 2
refuses 2 "--first-step: a run of [0-9]+ sequences a step ends before step 4294967295" "$LOCKSTEP" data order tiny.yaml \
    --first-step 4294967295 --set train.slots=65536 --set train.micro_batch=65536
refuses 2 "train\.slots" "$LOCKSTEP" data order tiny.yaml --set train.slots=0
refuses 3 "none\.txt" "$LOCKSTEP" data order tiny.yaml --set data.train=none.txt
expect 0 "$LOCKSTEP" data order tiny.yaml --first-step 4294967295
same "lines of the largest step" "$(grep -c '^4294967295 ' "$OUT")" 16
expect 0 "$LOCKSTEP" data order --help
prints '^Examples: lockstep data order'
