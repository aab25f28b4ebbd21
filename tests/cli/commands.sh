#!/usr/bin/env bash
# Every command does what its help says, and prints what scripts rely on.
# shellcheck source=tests/cli/lib.sh disable=SC1091
source "$(dirname "$0")/lib.sh"

say "help of the program and of every command, with examples"
expect 0 "$LOCKSTEP" --help
same "--help and help" "$(cat "$OUT")" "$("$LOCKSTEP" help)"
read -ra commands <<<"$(awk '/^  lockstep [a-z]+ / { print $2 }' "$OUT" | tr '\n' ' ')"
for command in train eval generate tokenize data ckpt plan; do
    [[ " ${commands[*]} " == *" $command "* ]] || die "lockstep --help does not list $command"
done
for command in "${commands[@]}"; do
    expect 0 "$LOCKSTEP" "$command" --help
    prints '^Examples?:' "an example"
    prints "lockstep $command" "how $command is written"
    [[ ! -s $ERR ]] || die "help belongs on standard output"
done
for command in "ckpt ls" "ckpt show" "ckpt verify" "ckpt hash" "data make" "data show" "data order" "tokenize train" "tokenize encode" \
    "tokenize decode"; do
    read -ra words <<<"$command"
    expect 0 "$LOCKSTEP" "${words[@]}" --help
    prints '^Examples?:' "an example"
done

say "--version names the libraries and backends"
expect 0 "$LOCKSTEP" --version
prints '^lockstep [0-9]+\.[0-9]+\.[0-9]+'
prints '^libraries .*MPI [0-9].*HDF5 [0-9].*libyaml [0-9].*cJSON [0-9].*xxHash [0-9].*BLAS'
prints '^backends .*\<cpu\>'

say "data make: the same seed gives the same bytes, and the information in them"
expect 0 "$LOCKSTEP" data make --corpus stories --out one.txt --bytes 20000 --seed 3
information='information [0-9.]+ bits in all: 0\.[0-9]+ bits, or 0\.[0-9]+ nats, a byte'
prints "^$information\$"
prints "^one.txt: $(wc -c <one.txt) bytes\$"
made=$(grep '^information' "$OUT")
expect 0 "$LOCKSTEP" data make --corpus stories --out two.txt --bytes 20000 --seed 3
cmp one.txt two.txt >/dev/null || die "the same seed gives other bytes"
expect 0 "$LOCKSTEP" data make --corpus stories --out other.txt --bytes 20000 --seed 4
! cmp -s one.txt other.txt || die "another seed gives the same bytes"
(($(wc -c <one.txt) >= 20000)) || die "fewer bytes than asked for"

say "data show"
expect 0 "$LOCKSTEP" data show one.txt
prints "^one.txt: $(wc -c <one.txt) bytes.*, $(wc -l <one.txt) lines, [0-9]+ distinct bytes\$"
same "the information that make and show print" "$made" "$(grep '^information' "$OUT")"
printf 'no story\n' >plain.txt
expect 0 "$LOCKSTEP" data show plain.txt
prints '^plain.txt: 9 bytes.*, 1 lines, 8 distinct bytes$'
! grep -q information "$OUT" || die "a text that the grammar did not make has no known information"

say "train --help-config lists every key"
tiny_config tiny.yaml
expect 0 "$LOCKSTEP" train tiny.yaml
awk '{ depth = match($0, /[^ ]/) / 2 - 0.5; key = $1; sub(/:.*/, "", key); section[depth] = key }
     NF > 1 { name = section[0]; for (i = 1; i <= depth; i++) name = name "." section[i]; print name }' \
    runs/tiny/config.yaml | sort >keys
for key in name runs_dir backend model.width model.dropout.attention data.train train.micro_batches_per_slot dist.zero \
    ckpt.keep guard.max_skipped; do
    grep -qx "$key" keys || die "config.yaml of a run has no key $key"
done
expect 0 "$LOCKSTEP" train --help-config
same "the keys of config.yaml and of --help-config" "$(cat keys)" \
    "$(awk 'NR > 1 && /^[a-z]/ { print $1 }' "$OUT" | sort)"
prints '^train.lr +a number, above 0, up to 10 +0\.001 +' "type, range and default of train.lr"
prints '^model.width .*\[architecture\]$' "that model.width is architecture"

say "metrics.jsonl has every field on every line"
number='-?[0-9]+(\.[0-9]+)?(e[-+][0-9]+)?'
hex='"-?0x[0-9a-f.]+p[-+][0-9]+"'
line="\"step\": [0-9]+, \"loss\": $number, \"loss_hex\": $hex, \"lr\": $number, \"grad_norm\": $number"
line+=", \"tokens\": [0-9]+, \"tok_per_s\": $number, \"mfu\": $number, \"peak_bytes\": [1-9][0-9]*"
line+=", \"time_s\": $number, \"save_s\": $number, \"skipped\": (true|false)"
value="\"val_loss\": $number, \"val_loss_hex\": $hex"
lines() { grep -Ec -- "^\{$1\}\$" runs/tiny/metrics.jsonl; }
same "lines of steps" "$(lines "$line(, $value)?")" 4
same "lines with a validation loss" "$(lines "$line, $value")" 1
same "lines after the last step" "$(lines "\"step\": 4, \"tokens\": 1024, $value")" 1
same "lines in all" "$(wc -l <runs/tiny/metrics.jsonl)" 5
same "the numbers of the steps" "$(grep -Eo '^\{"step": [0-9]+' runs/tiny/metrics.jsonl | tr -dc '0-9')" 01234
if command -v python3 >/dev/null; then
    while read -r object; do
        echo "$object" | python3 -m json.tool >/dev/null || die "this line of metrics is not JSON: $object"
    done <runs/tiny/metrics.jsonl
else
    skip "metrics through a JSON parser: there is no python3"
fi

say "a run's folder, and its config read again"
for file in config.yaml metrics.jsonl log.txt ckpt/step-00000002 ckpt/step-00000004; do
    [[ -e runs/tiny/$file ]] || die "runs/tiny/$file is not there"
done
grep -q '^done: 4 steps' runs/tiny/log.txt || die "log.txt does not tell the end of the run"
expect 0 "$LOCKSTEP" train runs/tiny/config.yaml --run copy
same_run runs/tiny runs/copy
same "config.yaml but for the name" "$(grep -v '^name:' runs/tiny/config.yaml)" "$(grep -v '^name:' runs/copy/config.yaml)"

say "ckpt ls, show, verify, hash"
expect 0 "$LOCKSTEP" ckpt ls runs/tiny
same "lines of ckpt ls" "$(grep -Ec '^step-0000000(2|4) .* 1 rank .* whole$' "$OUT")" 2
expect 0 "$LOCKSTEP" ckpt ls runs/tiny/ckpt
expect 0 "$LOCKSTEP" ckpt show runs/tiny
prints '^runs/tiny/ckpt/step-00000004$' "which checkpoint it is"
prints '^  step +4$'
prints '^  adam_step +4$'
prints '^  state +whole$'
prints '^  shard-00000-of-00001.h5 '
prints '^  params/wte +f32 \[256, 16\]'
prints '^  width: 16$' "the config"
expect 0 "$LOCKSTEP" ckpt verify runs/tiny
prints '^runs/tiny/ckpt/step-00000004: whole$'
hash=$(hash_of runs/tiny) || exit 1
same "the hashes of run and checkpoint" "$hash" "$("$LOCKSTEP" ckpt hash runs/tiny/ckpt/step-00000004)"
differ "the hashes of two steps" "$hash" "$("$LOCKSTEP" ckpt hash runs/tiny/ckpt/step-00000002)"

say "plan: memory, every op, JSON"
expect 0 "$LOCKSTEP" plan tiny.yaml
prints '^model .* 7664 parameters$'
prints '^ +total +[0-9.]+ +' "the memory in all"
cp "$OUT" summary
expect 0 "$LOCKSTEP" plan tiny.yaml --explain
prints '^micro_first:'
prints '^update:'
prints 'logits = linear\(' "the last op of the forward pass"
prints 'adamw' "the update"
same "the head of --explain and the summary" "$(head -n "$(wc -l <summary)" "$OUT")" "$(cat summary)"
expect 0 "$LOCKSTEP" plan tiny.yaml --explain --ranks 4 --rank 1 --set train.micro_batches_per_slot=2
prints '^rank +1 of 4: slots \[2, 4\)'
prints '^micro_next:'
expect 0 "$LOCKSTEP" plan tiny.yaml --explain --generate
prints '^decode:'
expect 0 "$LOCKSTEP" plan tiny.yaml --json
total=$(sed -nE 's/.*"total":[[:space:]]*([0-9]+).*/\1/p' "$OUT")
same "the bytes that plan foresees and that metrics report" "$total" \
    "$(sed -nE '1s/.*"peak_bytes": ([0-9]+).*/\1/p' runs/tiny/metrics.jsonl)"
if command -v python3 >/dev/null; then
    cp "$OUT" plan.json
    expect 0 python3 -m json.tool plan.json
else
    skip "plan --json through a JSON parser: there is no python3"
fi

say "eval prints the loss and its floor; over the same batches it is the loss of the run"
expect 0 "$LOCKSTEP" eval runs/tiny --data val
prints '^loss +[0-9.]+ nats a token'
prints '^floor +[0-9.]+ nats a token'
expect 0 "$LOCKSTEP" eval runs/tiny --batches 4
same "the bits of the loss from eval and from training" "$(awk '$1 == "loss" { print $NF }' "$OUT")" \
    "$(tail -n 1 runs/tiny/metrics.jsonl | sed -E 's/.*"val_loss_hex": "([^"]+)".*/\1/')"
expect 0 "$LOCKSTEP" eval runs/tiny --data one.txt
prints "^text +one.txt\$"
prints "^tokens +$(($(wc -c <one.txt) - 1))\$"
loss=$(awk '$1 == "loss" { print $2 }' "$OUT")
expect 0 "$LOCKSTEP" eval runs/tiny --data stories:20000:3
prints "^loss +$loss nats" "the loss of the same text made in memory"

say "--gradient-accumulation-steps N is train.micro_batches_per_slot"
expect 0 "$LOCKSTEP" train tiny.yaml --run flag --gradient-accumulation-steps 3
expect 0 "$LOCKSTEP" train tiny.yaml --run key --set train.micro_batches_per_slot=3
grep -q '^  micro_batches_per_slot: 3$' runs/flag/config.yaml || die "config.yaml does not show the flag"
grep -q '"tokens": 768,' runs/flag/metrics.jsonl || die "a step of 8 x 3 x 2 x 16 tokens must count 768"
same_run runs/flag runs/key
a=$(hash_of runs/flag) || exit 1
differ "the hashes with 1 and 3 micro-batches a slot" "$a" "$hash"

say "progress: some twenty plain lines without a terminal, a bar on one"
expect 0 "$LOCKSTEP" train tiny.yaml --run lines --set train.steps=100 --set train.eval_every=0
steps=$(grep -Ec '^step [0-9]+/100  loss [0-9.]+  norm [0-9.]+  lr [0-9.e+-]+  [0-9.]+[kM]? tok/s  [0-9:]+ left$' "$ERR")
((steps >= 15 && steps <= 25)) || die "100 steps gave $steps lines, not some twenty"
! grep -q $'[\r\033]' "$ERR" || die "plain lines hold control characters"
if script --version 2>/dev/null | grep -q util-linux; then
    expect 0 script -qec "'$LOCKSTEP' train tiny.yaml --run bar --set train.steps=100" /dev/null
    tr '\r' '\n' <"$OUT" | grep -Eq '\[#{24}\] 100/100  loss [0-9.]+ .* tok/s  0:00 left' || die "there is no full bar"
    tr '\r' '\n' <"$OUT" | grep -Eq '\[#{12}\.{12}\] 50/100 ' || die "there is no bar in the middle of the run"
    ! grep -q $'[\r\033]' runs/bar/log.txt || die "log.txt holds the bar"
else
    skip "the bar: there is no util-linux script to make a terminal with"
fi

echo "commands: all checks hold"
