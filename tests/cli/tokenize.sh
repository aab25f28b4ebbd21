#!/usr/bin/env bash
# Tokenizers on the command line: trained, used, and the same ids and bytes back.
# shellcheck source=tests/cli/lib.sh disable=SC1091
source "$(dirname "$0")/lib.sh"

"$LOCKSTEP" data make --corpus stories --bytes 200000 --out stories.txt >"$OUT" || die "no text"

say "train: the same for any number of threads and any cut into files"
expect 0 "$LOCKSTEP" tokenize train --vocab 800 --threads 1 --out one.json stories.txt
prints '^one\.json: 800 tokens, 543 of them merged, 1 special$'
prints '^words +[0-9]+ different$'
same "bytes a token, as encoding has them" "$(grep -oE '[0-9.]+ a token' "$OUT")" \
    "$("$LOCKSTEP" tokenize encode --tokenizer one.json --count stories.txt | grep -oE '[0-9.]+ bytes a token' | sed 's/bytes //')"
expect 0 "$LOCKSTEP" tokenize train --vocab 800 --threads 3 --out three.json stories.txt
cmp -s one.json three.json || die "threads change the tokenizer"
gzip -k stories.txt
expect 0 "$LOCKSTEP" tokenize train --vocab 800 --out packed.json stories.txt.gz
cmp -s one.json packed.json || die "compression changes the tokenizer"
expect 0 "$LOCKSTEP" tokenize train --vocab 800 --pattern gpt2 --out gpt2.json stories.txt
cmp -s one.json gpt2.json && die "the pattern changes nothing"
expect 0 "$LOCKSTEP" tokenize train --vocab 100000 --special '<s>' --special '</s>' --out all.json stories.txt
prints 'no pair is left that is seen 2 times'
prints ' 2 special$'

say "encode and decode"
for t in one.json gpt2.json bytes; do
    "$LOCKSTEP" tokenize encode --tokenizer $t stories.txt >ids || die "encode with $t"
    [[ $(wc -l <ids) == 1 ]] || die "one file is not one line"
    "$LOCKSTEP" tokenize decode --tokenizer $t ids >back || die "decode with $t"
    cmp -s stories.txt back || die "$t: the text does not come back"
done
head -c 100000 /dev/urandom >noise
for t in one.json gpt2.json bytes; do
    "$LOCKSTEP" tokenize encode --tokenizer $t --special noise | "$LOCKSTEP" tokenize decode --tokenizer $t >back
    cmp -s noise back || die "$t: random bytes do not come back"
done
for n in 1 2 5; do "$LOCKSTEP" tokenize encode --tokenizer one.json --threads $n stories.txt >"ids$n"; done
for n in 2 5; do cmp -s ids1 "ids$n" || die "$n threads change the ids"; done
same "ids of standard input and of a file" "$("$LOCKSTEP" tokenize encode --tokenizer one.json <stories.txt)" "$(cat ids1)"
same "counts" "$("$LOCKSTEP" tokenize encode --tokenizer one.json --count stories.txt | grep -oE '[0-9]+ tokens')" \
    "$(wc -w <ids1) tokens"
same "a special token" "$(printf 'a<|endoftext|>' | "$LOCKSTEP" tokenize encode --tokenizer one.json --special)" \
    "$(printf a | "$LOCKSTEP" tokenize encode --tokenizer one.json) 799"
differ "a special token as text" "$(printf '<|endoftext|>' | "$LOCKSTEP" tokenize encode --tokenizer one.json)" 799

say "errors"
refuses 2 'tokenize: say .train., .encode. or .decode.' "$LOCKSTEP" tokenize
refuses 2 '--vocab and --out are needed' "$LOCKSTEP" tokenize train stories.txt
refuses 2 "--pattern: 'llama' is not gpt2 or cl100k" "$LOCKSTEP" tokenize train --vocab 300 --out x --pattern llama stories.txt
refuses 2 'name the files to read' "$LOCKSTEP" tokenize train --vocab 300 --out x
refuses 3 'missing: cannot read data: No such file' "$LOCKSTEP" tokenize train --vocab 300 --out x missing
refuses 2 "special token 'a' is written like the token of a byte" "$LOCKSTEP" tokenize train --vocab 300 --special a --out x missing
refuses 3 'is not UTF-8 text' "$LOCKSTEP" tokenize train --vocab 300 --special $'<\xff>' --out x missing
refuses 2 'too small: 256 bytes and 2 special' "$LOCKSTEP" tokenize train --vocab 257 --special '<s>' --special '<t>' --out x missing
refuses 1 'cannot write to this folder: No such file' "$LOCKSTEP" tokenize train --vocab 300 --out none/x missing
refuses 2 '\. is a folder; name a file in it' "$LOCKSTEP" tokenize train --vocab 300 --out . missing
refuses 2 '--tokenizer is missing' "$LOCKSTEP" tokenize encode stories.txt
refuses 3 'stories\.txt: .*this is not JSON' "$LOCKSTEP" tokenize encode --tokenizer stories.txt stories.txt
echo '1 two 3' >words
expect 3 "$LOCKSTEP" tokenize decode --tokenizer one.json words
complains "words: word 2 \('two'\) is no token id"
printf '1 2\0003' >words
expect 3 "$LOCKSTEP" tokenize decode --tokenizer one.json words
complains "words: word 2 \('2'\) is no token id"
expect 3 "$LOCKSTEP" tokenize decode --tokenizer one.json .
complains '^lockstep: \.: cannot read: Is a directory'
if [[ -w /dev/full ]]; then
    for part in "encode --count" encode "encode --time 1"; do
        # shellcheck disable=SC2086
        "$LOCKSTEP" tokenize $part --tokenizer one.json stories.txt >/dev/full 2>"$ERR"
        [[ $? == 1 ]] || die "$part to a full disk"
        complains 'cannot write the tokens of stories\.txt: No space left'
    done
    "$LOCKSTEP" tokenize decode --tokenizer bytes - <<<104 >/dev/full 2>"$ERR"
    [[ $? == 1 ]] || die "decode to a full disk"
    complains 'cannot write the text: No space left'
fi
echo '1 800' >words
expect 3 "$LOCKSTEP" tokenize decode --tokenizer one.json words
complains 'words: word 2: 800 is outside the vocabulary of 800'
for part in "" train encode decode; do
    # shellcheck disable=SC2086
    expect 0 "$LOCKSTEP" tokenize $part --help
    prints "lockstep tokenize"
done
