#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "cli/cli.h"

static const char usage[] = "lockstep data make …   token files of texts and JSONL; a text of the built-in corpus\n"
                            "lockstep data show …   what is in token files and texts\n"
                            "lockstep data order …  which text each step of a run trains on\n"
                            "\n"
                            "'lockstep data make --help' tells the options, and so do the others.\n"
                            "\n"
                            "Example: lockstep data make --tokenizer tok.json --out data/web crawl/*.jsonl.zst\n";

int cli_data(int argc, char **argv) {
    opterr = 0;
    if (argc > 1 && !strcmp(argv[1], "make")) return cli_data_make(argc - 1, argv + 1);
    if (argc > 1 && !strcmp(argv[1], "show")) return cli_data_show(argc - 1, argv + 1);
    if (argc > 1 && !strcmp(argv[1], "order")) return cli_data_order(argc - 1, argv + 1);
    if (argc > 1 && !strcmp(argv[1], "--help")) return fputs(usage, stdout) < 0;
    return fail(STATUS_USAGE, "lockstep data: say 'make' or 'show' or 'order'; see 'lockstep data --help'");
}
