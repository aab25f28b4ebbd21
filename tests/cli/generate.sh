#!/usr/bin/env bash
# Generation: the cache changes nothing but the time; the same seed gives the same text.
# shellcheck source=tests/cli/lib.sh disable=SC1091
source "$(dirname "$0")/lib.sh"

# Enough training that the likeliest bytes are not one byte for ever.
cat >tiny.yaml <<'YAML'
name: tiny
model: {layers: 2, width: 64, heads: 2, context: 16, dropout: {attention: 0, residual: 0, embedding: 0}}
data: {train: "stories:100000:1", val: 0.1}
train: {steps: 200, slots: 4, micro_batch: 8, lr: 0.01, warmup: 2, eval_every: 0}
ckpt: {every: 0}
YAML
expect 0 "$LOCKSTEP" train tiny.yaml

# generate FILE TOKENS PROMPT [OPTION...]: writes a text, which must be the prompt, so many bytes, and the end of the line.
generate() {
    local file=$1 tokens=$2 prompt=$3
    shift 3
    expect 0 "$LOCKSTEP" generate runs/tiny --tokens "$tokens" --prompt "$prompt" "$@"
    [[ ! -s $ERR ]] || die "generate printed on standard error"
    cp "$OUT" "$file"
    [[ $(wc -c <"$file") == $((${#prompt} + tokens + 1)) ]] || die "$file has not ${#prompt} + $tokens + 1 bytes"
    [[ $(head -c ${#prompt} "$file") == "$prompt" ]] || die "$file does not begin with its prompt"
}

same_text() { LAST=$(cmp "$1" "$2" 2>&1) || die "$1 and $2 differ: $LAST"; }
other_text() { ! cmp -s "$1" "$2" || die "$1 and $2 are the same"; }

# The context is 16: one byte, a full context, one more than that, and several contexts.
prompts=("O" "Once upon a time" "Once upon a time " "Once upon a time there was a girl who lived in the old house.")
same "the length of the second prompt" ${#prompts[1]} 16
for prompt in "${prompts[@]}"; do
    say "with and without the cache, a window that slides; the prompt has ${#prompt} byte(s)"
    for how in "--temperature 0" "--temperature 0.8" "--temperature 0.8 --top-k 5" "--temperature 0.8 --top-p 0.9" \
        "--temperature 1.5 --top-k 40 --top-p 0.7"; do
        read -ra options <<<"$how"
        generate cached 70 "$prompt" "${options[@]}"
        generate plain 70 "$prompt" "${options[@]}" --no-cache
        same_text cached plain
    done
done

say "a text no longer than its prompt and one token"
generate one 1 "${prompts[3]}" --temperature 0
generate more 70 "${prompts[3]}" --temperature 0
same_text <(head -c $((${#prompts[3]} + 1)) one) <(head -c $((${#prompts[3]} + 1)) more)

(($(tail -c 71 more | head -c 70 | fold -w 1 | sort -u | wc -l) > 1)) ||
    die "the likeliest text is one byte for ever: it shows nothing"

say "the same seed gives the same text, another seed another, the likeliest text needs none"
generate first 100 "Once" --seed 7
generate again 100 "Once" --seed 7
generate other 100 "Once" --seed 8
same_text first again
other_text first other
generate first 100 "Once" --seed 7 --temperature 0
generate other 100 "Once" --seed 8 --temperature 0
same_text first other

say "top-k 1 and a tiny top-p leave the likeliest token alone"
generate other 100 "Once" --temperature 1 --top-k 1
same_text first other
generate other 100 "Once" --temperature 1 --top-p 1e-9
same_text first other

say "a checkpoint by its own name, from another folder"
expect 0 "$LOCKSTEP" generate runs/tiny/ckpt/step-00000200 --prompt "Once" --tokens 100 --temperature 0
same_text first "$OUT"

say "a vocabulary smaller than all bytes is kept to"
yes '0123 4567 89:; ' | tr -d '\n' | head -c 4000 >digits.txt
expect 0 "$LOCKSTEP" train tiny.yaml --run digits --set data.train=digits.txt --set model.vocab=64 --set train.steps=5
expect 0 "$LOCKSTEP" generate runs/digits --prompt "01" --tokens 50 --temperature 5
[[ $(tail -c +3 "$OUT" | tr -d '\000-\077' | wc -c) == 0 ]] || die "a byte outside of the vocabulary was made"
refuses 2 '--prompt: its token 1 is 97, outside the model.s vocabulary of 64' \
    "$LOCKSTEP" generate runs/digits --prompt "1abc"

# Time. The initial weights cost the same as any others.
say "the cost of a token does not grow with those before it"
expect 0 "$LOCKSTEP" train tiny.yaml --run long --set train.steps=0 --set train.slots=1 --set train.micro_batch=1 \
    --set model.layers=4 --set model.width=192 --set model.heads=4 --set model.context=512 --set data.val=0.2

# milliseconds TOKENS [OPTION...]: the median of 3, in time of the processor, which a busy machine does not stretch.
milliseconds() {
    local tokens=$1
    shift
    TIMEFORMAT='%3U %3S'
    for _ in 1 2 3; do
        { time expect 0 "$LOCKSTEP" generate runs/long --prompt "O" --tokens "$tokens" "$@" 2>&3; } 3>&2 2>"$SCRATCH/time"
        awk '{ printf "%d\n", 1000 * ($1 + $2) }' "$SCRATCH/time"
    done | sort -n | sed -n 2p
}

start=$(milliseconds 1) && short=$(milliseconds 200) && long=$(milliseconds 400) || exit 1
plain=$(milliseconds 40 --no-cache) || exit 1
echo "  start $start ms, 200 tokens $short ms, 400 tokens $long ms, 40 tokens without the cache $plain ms"
((short > start)) || die "200 tokens took $short ms, no more than the $start ms of one"
((long < 3 * short)) || die "400 tokens took $long ms, 200 took $short ms"
# What is timed must be the cost of tokens: without the cache a fifth of them takes longer.
((plain > short)) || die "40 tokens without the cache took $plain ms, less than 200 with it: $short ms"

echo "generate: all checks hold"
