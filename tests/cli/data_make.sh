#!/usr/bin/env bash
# Token files from documents: what is in them, the same for any number of threads, and what is refused.
# shellcheck source=tests/cli/lib.sh disable=SC1091
source "$(dirname "$0")/lib.sh"

"$LOCKSTEP" data make --corpus stories --bytes 300000 --out stories.txt >"$OUT" || die "no text"
"$LOCKSTEP" tokenize train --vocab 600 --out tok.json stories.txt >"$OUT" || die "no tokenizer"

# figure NAME: the number after a name that `data show` prints.
figure() { grep -E "^ *$1 " "$OUT" | head -n 1 | awk '{print $2}'; }

say "one text: its last characters are val, and there is no end-of-text token"
expect 0 "$LOCKSTEP" data make --tokenizer tok.json --out text --val 0.1 stories.txt
prints '^documents  1$'
prints "^bytes +$(wc -c <stories.txt) "
prints '^vocabulary 600 '
expect 0 "$LOCKSTEP" data show text/train-00000.tokens
prints 'checksum .*, verified$'
train=$(figure tokens)
same "the tokens of the first 90% of characters" "$train" \
    "$(head -c $((($(wc -c <stories.txt) * 9) / 10)) stories.txt | "$LOCKSTEP" tokenize encode --tokenizer tok.json | wc -w)"
[[ $(figure 'ends with') == with ]] || die "the end-of-text token is not told"
"$LOCKSTEP" tokenize encode --tokenizer tok.json stories.txt | grep -qw 599 && die "the text has the end-of-text token"

say "documents: JSONL, plain and compressed, is the same as files"
mkdir docs
for i in 1 2 3 4 5 6 7 8 9; do
    printf 'Document %s is "short".\n' "$i" >docs/$i.txt
    printf '{"id": %s, "text": "Document %s is \\"short\\".\\n"}\n' "$i" "$i"
done >docs.jsonl
expect 0 "$LOCKSTEP" data make --tokenizer tok.json --out a docs
expect 0 "$LOCKSTEP" data make --tokenizer tok.json --out b docs.jsonl
gzip -k docs.jsonl
expect 0 "$LOCKSTEP" data make --tokenizer tok.json --out c docs.jsonl.gz
cmp -s a/train-00000.tokens b/train-00000.tokens || die "JSONL and files differ"
cmp -s b/train-00000.tokens c/train-00000.tokens || die "compressed JSONL differs"
expect 0 "$LOCKSTEP" data show a
same documents "$(figure documents)" 9

say "the number of threads changes nothing, nor do shards change the tokens"
for n in 1 3; do
    expect 0 "$LOCKSTEP" data make --tokenizer tok.json --threads $n --out "t$n" --val 0.3 docs.jsonl docs stories.txt
done
for f in train val; do cmp -s t1/$f-00000.tokens t3/$f-00000.tokens || die "threads change $f"; done
expect 0 "$LOCKSTEP" data make --tokenizer tok.json --shard-tokens 1000 --out shards stories.txt docs
expect 0 "$LOCKSTEP" data make --tokenizer tok.json --out whole stories.txt docs
expect 0 "$LOCKSTEP" data show shards
total=$(tail -n 1 "$OUT" | grep -oE '[0-9]+ tokens')
expect 0 "$LOCKSTEP" data show whole
same "tokens in shards and in one file" "$total" "$(figure tokens) tokens"
tail -c +257 whole/train-00000.tokens >one
for f in shards/*.tokens; do tail -c +257 "$f"; done >many
cmp -s one many || die "shards change the tokens"

say "fine-tuning: the response and its end count"
printf '{"prompt": "%s", "response": "%s"}\n' "Say yes." " yes" "Say no." " no" >chat.jsonl
expect 0 "$LOCKSTEP" data make --tokenizer bytes --prompt-field prompt --response-field response --out chat chat.jsonl
prints '^targets    9 tokens of responses$' # " yes" and its end, " no" and its end
expect 0 "$LOCKSTEP" data show chat
prints '  targets    9 tokens count, 15 do not$'

say "bad lines"
printf '{"text": "good"}\nbad\n{"body": 1}\n{"text": "good"}\n' >bad.jsonl
expect 3 "$LOCKSTEP" data make --tokenizer tok.json --out bad bad.jsonl
complains 'bad\.jsonl:2: is not JSON .*; --skip-bad-lines goes on'
expect 0 "$LOCKSTEP" data make --tokenizer tok.json --out bad --skip-bad-lines bad.jsonl
prints '^bad lines  2, left out:$'
prints "^bad\.jsonl:3: has no field 'text' \(there are 'body'\)$"
prints '^documents  2$'

say "files that are there already"
refuses 2 'a/train-00000\.tokens is there already; --overwrite' "$LOCKSTEP" data make --tokenizer tok.json --out a docs
refuses 2 'a/tokenizer\.json is another tokenizer' "$LOCKSTEP" data make --tokenizer bytes --name other --out a docs
expect 0 "$LOCKSTEP" data make --tokenizer bytes --overwrite --out a docs
expect 0 "$LOCKSTEP" data show a
same vocabulary "$(figure vocabulary)" 257

say "a run that fails leaves nothing behind"
refuses 3 'docs/none\.txt: cannot read data: No such file' "$LOCKSTEP" data make --out failed docs docs/none.txt
refuses 3 'bad\.jsonl:2: is not JSON' "$LOCKSTEP" data make --out failed --shard-tokens 1 bad.jsonl
refuses 3 'bad\.jsonl:2: is not JSON' "$LOCKSTEP" data make --out failed --val 0.9 --shard-tokens 1 docs bad.jsonl
head -c 5000 stories.txt | gzip | head -c 1000 >short.txt.gz
refuses 3 'short\.txt\.gz: the gzip data is damaged or truncated near byte 1000 ' \
    "$LOCKSTEP" data make --out failed docs short.txt.gz
echo '{"text": "\ud800"}' >all-bad.jsonl
refuses 3 'no tokens to write; bad lines left out: 1, the first is all-bad\.jsonl:1: has \\ud800, half of a surr' \
    "$LOCKSTEP" data make --out failed --skip-bad-lines all-bad.jsonl
refuses 2 '--out: docs\.jsonl: cannot read this folder' "$LOCKSTEP" data make --out docs.jsonl docs

say "--overwrite replaces its own files alone, also where a name looks like a pattern"
mkdir 'd[ab]' da
cp a/train-00000.tokens da
cp a/train-00000.tokens 'd[ab]/train-00001.tokens'
cp a/train-00000.tokens 'd[ab]/trains-00000.tokens'
refuses 2 'd\[ab\]/train-00001\.tokens is there already' "$LOCKSTEP" data make --out 'd[ab]' docs
expect 0 "$LOCKSTEP" data make --out 'd[ab]' --overwrite docs
cmp -s a/train-00000.tokens da/train-00000.tokens || die "--overwrite touched another folder"
same "the files" "$(cd 'd[ab]' && echo *)" "tokenizer.json train-00000.tokens trains-00000.tokens"

say "standard input"
expect 0 sh -c "\"$LOCKSTEP\" data make --out piped - <stories.txt"
expect 0 "$LOCKSTEP" data make --out read stories.txt
cmp -s piped/train-00000.tokens read/train-00000.tokens || die "standard input and a file differ"
refuses 2 '--val: - is empty or a pipe' sh -c "cat stories.txt | \"$LOCKSTEP\" data make --val 0.1 --out refused -"

say "the token that ends a document: an id, a special token, or none"
expect 0 "$LOCKSTEP" data make --out id --end-of-text 10 docs
expect 0 "$LOCKSTEP" data show id
prints '^  ends with  10$'
refuses 2 "--end-of-text: 257 is out of range" "$LOCKSTEP" data make --out refused --end-of-text 257 docs
refuses 2 "no special token '<none>'; an id can" "$LOCKSTEP" data make --out refused --end-of-text '<none>' docs
for i in {0..255}; do
    printf '%s %s\n' "$(printf '%b' "\\x$(printf '%02x' "$i")" | base64)" "$i"
done >bytes.tiktoken
refuses 2 'has no end-of-text token, which must stand between documents; name one with --end-of-text' \
    "$LOCKSTEP" data make --tokenizer bytes.tiktoken --out refused docs
expect 0 "$LOCKSTEP" data make --tokenizer bytes.tiktoken --end-of-text 0 --out zero docs
prints "^zero/train: $(($(cat docs/*.txt | wc -c) + 9)) tokens in 1 file$"
expect 0 "$LOCKSTEP" data make --tokenizer bytes.tiktoken --out alone docs/1.txt

say "the folder and those above it are made"
expect 0 "$LOCKSTEP" data make --tokenizer tok.json --out new/data/docs docs
[[ -s new/data/docs/train-00000.tokens ]] || die "new/data/docs is not made"
refuses 2 'tok\.json/docs: cannot read this folder: Not a directory' "$LOCKSTEP" data make --tokenizer tok.json --out tok.json/docs docs

say "usage"
refuses 2 '--out is missing' "$LOCKSTEP" data make docs
refuses 2 'name the files to read' "$LOCKSTEP" data make --out x
refuses 2 'belong together' "$LOCKSTEP" data make --out x --prompt-field p docs.jsonl
refuses 2 '--val: 1 is out of range' "$LOCKSTEP" data make --out x --val 1 docs
refuses 2 'would write the same files' "$LOCKSTEP" data make --out x --name val --val 0.1 docs
refuses 2 "data: say 'make' or 'show'" "$LOCKSTEP" data
expect 0 "$LOCKSTEP" data make --help
expect 0 "$LOCKSTEP" data show --help
