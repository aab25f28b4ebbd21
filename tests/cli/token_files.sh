#!/usr/bin/env bash
# `data show` on every kind of file, and on damaged ones.
# shellcheck source=tests/cli/lib.sh disable=SC1091
source "$(dirname "$0")/lib.sh"

say "texts"
"$LOCKSTEP" data make --corpus stories --bytes 20000 --out stories.txt >"$OUT" || die "no text"
expect 0 "$LOCKSTEP" data show stories.txt
prints '^stories\.txt: [0-9]+ bytes \(tokens of tokenizer bytes\), [0-9]+ lines'
prints '^information [0-9.]+ bits in all'

say "token files"
printf '\001\000\002\000\377\000' >train.bin # 1, 2, 255 as nanoGPT writes them
expect 0 "$LOCKSTEP" data show --tokenizer bytes train.bin
prints '  format     nanoGPT, 2 bytes a token$'
prints '  tokens     3$'
prints '  vocabulary not known$'
prints '  first      1 2 255$'
prints '  largest    255$'
{
    printf '\210\330\064\001\001\000\000\000\003\000\000\000' # llm.c: 20240520, version 1, 3 tokens
    head -c 1012 /dev/zero
    cat train.bin
} >llmc.bin
expect 0 "$LOCKSTEP" data show llmc.bin
prints '  format     llm\.c, 2 bytes a token$'
prints '  first      1 2 255$'
cp train.bin megatron.bin
{
    printf 'MMIDIDX\000\000\001\000\000\000\000\000\000\000\010' # version 1, u16
    printf '\001\000\000\000\000\000\000\000\002\000\000\000\000\000\000\000' # 1 sequence, 2 ends of documents
    printf '\003\000\000\000\000\000\000\000\000\000\000\000' # of 3 tokens, from byte 0
    printf '\000\000\000\000\000\000\000\000\001\000\000\000\000\000\000\000'
} >megatron.idx
for f in megatron.bin megatron.idx; do
    expect 0 "$LOCKSTEP" data show $f
    prints '  format     Megatron, 2 bytes a token$'
    prints '  documents  1$'
done
printf 'ab' >ab.txt
expect 0 "$LOCKSTEP" data make --out d ab.txt
expect 0 "$LOCKSTEP" data show --tokenizer bytes d
prints '  as text    ab$'
prints '  format     native, 2 bytes a token$'

say "text that a terminal must not obey, and a tokenizer that is not the file's"
printf 'h\303\251\033\377\n' >odd.txt
expect 0 "$LOCKSTEP" data make --out odd odd.txt
expect 0 "$LOCKSTEP" data show --tokenizer bytes odd
prints '  as text    hé\\x1b\\xff\\n$'
printf '{"text": "%s"}\n' "a b" "a c" >some.jsonl
expect 0 "$LOCKSTEP" tokenize train --vocab 258 --out other.json some.jsonl
expect 0 "$LOCKSTEP" data show --tokenizer other.json odd
prints '  note       it was made with another tokenizer than other\.json$'

say "JSON for scripts has the same figures"
expect 0 "$LOCKSTEP" data show --json --tokenizer bytes d train.bin stories.txt
prints '^	"totals":	\{$'
prints '"format":	"native"'
prints '"text":	"ab"'
prints '"first":	\[97, 98\]'
prints '"vocab":	null'
prints '"tokens":	20[0-9]{3},'
prints '"information_bits":	[0-9.]+'
prints '"verified":	true'
prints '"bad":	0'
expect 0 "$LOCKSTEP" data show --json --quick d
prints '"verified":	false'
expect 3 "$LOCKSTEP" data show --json missing.bin train.bin
prints '"error":	"missing\.bin: cannot read data'
prints '"tokens":	3$'
complains '1 of 2 files are bad'

say "damage: every file is shown, and the status tells"
cp d/train-00000.tokens d/damaged.tokens
printf 'X' | dd of=d/damaged.tokens bs=1 seek=257 conv=notrunc 2>"$ERR"
expect 3 "$LOCKSTEP" data show d
prints '  BAD        d/damaged\.tokens: the checksum of its content is'
prints '  format     native'
complains '1 of 2 files are bad'
expect 0 "$LOCKSTEP" data show --quick d
grep -qE 'verified|largest' "$OUT" && die "--quick must not say that anything was verified"
printf 'X' >>megatron.bin
expect 3 "$LOCKSTEP" data show megatron.idx
complains 'megatron\.bin: has 7 bytes, but its index knows of 6'
head -c 1029 llmc.bin >short.bin
expect 3 "$LOCKSTEP" data show short.bin
complains 'short\.bin: its header promises 3 tokens of 2 bytes, but 5 bytes follow'
printf 'no HDF5' >no.h5
expect 3 "$LOCKSTEP" data show no.h5
complains 'no\.h5: cannot be read as an HDF5 file'
printf 'abc' >odd.bin
expect 3 "$LOCKSTEP" data show odd.bin
complains 'odd\.bin: a \.bin without a header is read as 16-bit tokens'
expect 3 "$LOCKSTEP" data show missing.bin
complains 'missing\.bin: cannot read data: No such file'
expect 3 "$LOCKSTEP" data show train.bin missing.bin ab.txt
prints '^ab\.txt: 2 bytes'
mkdir empty
refuses 3 'empty: is a folder without token files' "$LOCKSTEP" data show empty
refuses 2 'give a FILE or a folder' "$LOCKSTEP" data show
