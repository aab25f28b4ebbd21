#!/usr/bin/env bash
# Training on token files: the order of data on ranks and after a resume, mixtures, documents apart and packed, masks; tokenizers
# in checkpoints; and data that does not fit.
# shellcheck source=tests/cli/lib.sh disable=SC1091
source "$(dirname "$0")/lib.sh"
need_ranks

tiny_config tiny.yaml
"$LOCKSTEP" data make --corpus stories --bytes 60000 --out stories.txt >"$OUT" || die "no text"
"$LOCKSTEP" tokenize train --vocab 400 --out tok.json stories.txt >"$OUT" || die "no tokenizer"
"$LOCKSTEP" data make --tokenizer tok.json --out d --val 0.1 stories.txt >"$OUT" || die "no token files"
awk 'BEGIN { for (i = 0; i < 300; i++) printf "{\"prompt\": \"Add %d and %d.\", \"response\": \" %d\"}\n", i, i % 7, i + i % 7 }' >chat.jsonl
"$LOCKSTEP" data make --tokenizer tok.json --prompt-field prompt --response-field response --out chat chat.jsonl >"$OUT" ||
    die "no fine-tuning data"

# trains NAME RANKS OPTION...: a short run on these data.
trains() {
    local name=$1 count=$2
    shift 2
    if [[ $count == 1 ]]; then
        expect 0 "$LOCKSTEP" train tiny.yaml --run "$name" --set model.vocab=400 "$@"
    else
        expect 0 ranks "$count" "$LOCKSTEP" train tiny.yaml --run "$name" --set model.vocab=400 "$@"
    fi
}

say "a mixture, documents apart, and packed fine-tuning data: the same bits on 1, 2, 3 and 8 ranks and after a resume"
declare -A data=(
    [mix]="data.train=[0.7 d/train, chat/train] data.val=d/val"
    [apart]="data.train=chat/train data.val=0.1 data.documents=apart"
    [packed]="data.train=chat/train data.val=0.1 data.documents=packed"
)
for kind in mix apart packed; do
    set=()
    while read -r part; do set+=(--set "$part"); done <<<"${data[$kind]// data./$'\n'data.}"
    trains "$kind-1" 1 "${set[@]}"
    for n in 2 3 8; do
        trains "$kind-$n" $n "${set[@]}"
        same_run "runs/$kind-1" "runs/$kind-$n" without_ranks
    done
    trains "$kind-half" 1 "${set[@]}" --set train.steps=2 --set train.schedule=constant
    trains "$kind-whole" 1 "${set[@]}" --set train.schedule=constant
    expect 0 ranks 3 "$LOCKSTEP" train --resume "runs/$kind-half" --set train.steps=4
    same "hashes of $kind after a resume" "$(hash_of "runs/$kind-half")" "$(hash_of "runs/$kind-whole")"
done

say "the checkpoint keeps the tokenizer: eval and generate need nothing else"
mkdir away && mv tok.json d/tokenizer.json away
expect 0 "$LOCKSTEP" eval runs/mix-1 --data stories.txt
same "tokens of the text" "$(awk '/^tokens/ {print $2}' "$OUT")" \
    "$(($("$LOCKSTEP" tokenize encode --tokenizer away/tok.json stories.txt | wc -w) - 1))"
expect 0 "$LOCKSTEP" generate runs/mix-1 --prompt "Once" --tokens 20
prints '^Once'
expect 0 "$LOCKSTEP" ckpt show "runs/mix-1/ckpt/step-00000004"
prints '  tokenizer\.json '
prints '^0\.69999999999999996 [0-9]+ [0-9a-f]{32} d/train$'
echo ' ' >>"runs/mix-8/ckpt/step-00000004/tokenizer.json"
expect 3 "$LOCKSTEP" ckpt verify "runs/mix-8/ckpt/step-00000004"
complains 'tokenizer\.json'
mv away/tokenizer.json d && mv away/tok.json .

say "data that does not fit"
refuses 3 'd/train: its vocabulary has 400 tokens, but model\.vocab is 399; set model\.vocab to 400 or more' \
    "$LOCKSTEP" train tiny.yaml --run refused --set data.train=d/train --set model.vocab=399
refuses 3 'd/train-00000\.tokens: was made with another tokenizer than the one in use' \
    "$LOCKSTEP" train tiny.yaml --run refused --set data.train=d/train --set data.tokenizer=bytes --set model.vocab=400
refuses 3 'stories\.txt: does not say which token ends a document' \
    "$LOCKSTEP" train tiny.yaml --run refused --set data.train=stories.txt --set data.documents=packed
"$LOCKSTEP" tokenize train --vocab 300 --out other.json stories.txt >"$OUT"
"$LOCKSTEP" data make --tokenizer other.json --out e stories.txt >"$OUT"
refuses 3 'e/train-00000\.tokens: was made with another tokenizer' "$LOCKSTEP" eval runs/mix-1 --data e/train
expect 3 "$LOCKSTEP" train --resume runs/mix-half --set data.train=e/train --set data.val=0.1 --set train.steps=6
complains 'was trained with another tokenizer'
for i in {1..400}; do
    if [[ $i == 200 ]]; then printf '\220\001'; else printf '\001\000'; fi # 400 among ones
done >big.bin
expect 3 "$LOCKSTEP" train tiny.yaml --run bad-token --set data.train=big.bin --set data.val= --set model.vocab=400
complains 'big\.bin: token 199 is 400, outside the model.s vocabulary of 400'

say "changed data is told at a resume"
cp stories.txt book.txt
trains book 1 --set data.train=book.txt --set data.tokenizer=tok.json
sed -i 's/the/teh/' book.txt
expect 0 "$LOCKSTEP" train --resume runs/book --set train.steps=6
tells 'warning: the training data has changed since the checkpoint'
expect 0 "$LOCKSTEP" train --resume runs/book --set train.steps=8
grep -q 'has changed' "$ERR" && die "data that has not changed again is told as changed"

say "a resume without the tokenizer.json beside the data keeps the checkpoint's"
mv d/tokenizer.json away
expect 0 "$LOCKSTEP" train --resume runs/mix-1 --set train.steps=6
expect 0 "$LOCKSTEP" generate runs/mix-1 --prompt "Once" --tokens 5
mv e/tokenizer.json away/e.json # other files, which only their headers tell
expect 3 "$LOCKSTEP" train --resume runs/mix-1 --set data.train=e/train --set data.val=0.1 --set train.steps=8
complains 'was trained with another tokenizer'
mv away/tokenizer.json d

say "steps without a target are skipped and told; a file that is shortened ends the run with a word"
awk 'BEGIN { for (i = 0; i < 40; i++) printf "{\"prompt\": \"A prompt that is far longer than one window of the model, number %d, on and on.\", \"response\": \"no\"}\n", i }' >long.jsonl
expect 0 "$LOCKSTEP" data make --tokenizer tok.json --prompt-field prompt --response-field response --out long long.jsonl
expect 0 "$LOCKSTEP" train tiny.yaml --run none --set model.vocab=400 --set data.train=long/train --set data.val= --set data.documents=packed
tells 'step 0 is skipped: none of its tokens counts as a target'
cp stories.txt shrinks.txt
"$LOCKSTEP" train tiny.yaml --run shrinks --set data.train=shrinks.txt --set train.steps=100000000 --set train.eval_every=0 --set ckpt.every=0 \
    >"$OUT" 2>"$ERR" &
background+=($!)
for _ in {1..100}; do [[ -s runs/shrinks/metrics.jsonl ]] && break; sleep 0.1; done
: >shrinks.txt
status=0
wait "${background[-1]}" || status=$?
same "exit status of a run whose data was shortened" "$status" 3
complains 'a data file was shortened while it was read'
