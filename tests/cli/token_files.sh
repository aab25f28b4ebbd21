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
printf 'ab' >ab.txt
expect 0 "$LOCKSTEP" data make --out d ab.txt
expect 0 "$LOCKSTEP" data show --tokenizer bytes d
prints '  as text    ab$'
prints '  format     native, 2 bytes a token$'

say "damage: every file is shown, and the status tells"
cp d/train-00000.tokens d/damaged.tokens
printf 'X' | dd of=d/damaged.tokens bs=1 seek=257 conv=notrunc 2>"$ERR"
expect 3 "$LOCKSTEP" data show d
prints '  BAD        d/damaged\.tokens: the checksum of its content is'
prints '  format     native'
complains '1 of 2 files are bad'
expect 0 "$LOCKSTEP" data show --quick d
expect 3 "$LOCKSTEP" data show missing.bin
complains 'missing\.bin: cannot read data: No such file'
expect 3 "$LOCKSTEP" data show train.bin missing.bin ab.txt
prints '^ab\.txt: 2 bytes'
mkdir empty
refuses 3 'empty: is a folder without token files' "$LOCKSTEP" data show empty
refuses 2 'give a FILE or a folder' "$LOCKSTEP" data show
