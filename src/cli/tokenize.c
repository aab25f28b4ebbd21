#include "cli/tokenize.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "cli/cli.h"

static const char usage[] =
    "lockstep tokenize train …    a byte-level BPE tokenizer from texts\n"
    "lockstep tokenize encode …   text to token ids\n"
    "lockstep tokenize decode …   token ids to text\n"
    "\n"
    "'lockstep tokenize train --help' and so on tell the options. For training data use 'lockstep data make'.\n"
    "\n"
    "Example: lockstep tokenize train --vocab 32000 --out tok.json corpus/\n";

int cli_tokenize(int argc, char **argv) {
    static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
    } parts[] = {{"train", cli_tokenize_train}, {"encode", cli_tokenize_encode}, {"decode", cli_tokenize_decode}};
    opterr = 0;
    for (int i = 0; i < 3 && argc > 1; i++)
        if (!strcmp(argv[1], parts[i].name)) return parts[i].run(argc - 1, argv + 1);
    if (argc > 1 && !strcmp(argv[1], "--help")) return fputs(usage, stdout) < 0;
    return fail(STATUS_USAGE, "lockstep tokenize: say 'train', 'encode' or 'decode'; see 'lockstep tokenize --help'");
}
