#include <stdio.h>

#include "base/check.h"
#include "cli/cli.h"
#include "infer/generate.h"

static const char usage[] =
    "lockstep generate CKPT --prompt TEXT [options]\n"
    "\n"
    "Continues TEXT with the weights of a checkpoint (or of a run's newest one).\n"
    "\n"
    "  --tokens N        how many tokens to make at most (default 200); an end-of-text token ends the text\n"
    "  --temperature T   0 always takes the likeliest token; 1 draws as the model says (default 0.8)\n"
    "  --top-k K         draw from the K likeliest tokens only (default 0: all)\n"
    "  --top-p P         draw from the smallest set of tokens that holds probability P (default 1: all)\n"
    "  --seed S          another seed, another text (default 1)\n"
    "  --tokenizer T     a tokenizer.json, where the checkpoint does not say what its model was trained with\n"
    "  --backend B       what computes: auto (default), cpu or cuda\n"
    "  --no-cache        compute all again for each token; the same text, slower: for checking\n"
    "\n"
    "Example: lockstep generate runs/quickstart --prompt \"Once\" --tokens 300 --top-k 50\n";

enum {
    OPT_PROMPT = 256,
    OPT_TOKENS,
    OPT_TEMPERATURE,
    OPT_TOP_K,
    OPT_TOP_P,
    OPT_SEED,
    OPT_NO_CACHE,
    OPT_TOKENIZER,
    OPT_BACKEND,
    OPT_HELP
};

static const struct option options[] = {
    {"prompt", required_argument, NULL, OPT_PROMPT},
    {"tokens", required_argument, NULL, OPT_TOKENS},
    {"temperature", required_argument, NULL, OPT_TEMPERATURE},
    {"top-k", required_argument, NULL, OPT_TOP_K},
    {"top-p", required_argument, NULL, OPT_TOP_P},
    {"seed", required_argument, NULL, OPT_SEED},
    {"no-cache", no_argument, NULL, OPT_NO_CACHE},
    {"tokenizer", required_argument, NULL, OPT_TOKENIZER},
    {"backend", required_argument, NULL, OPT_BACKEND},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

int cli_generate(int argc, char **argv) {
    struct generate_options o = {.tokens = 200, .temperature = 0.8, .top_p = 1, .seed = 1};
    int64_t seed;
    opterr = 0;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (c) {
        case OPT_PROMPT:
            o.prompt = optarg;
            break;
        case OPT_TOKENS:
            TRY(cli_whole("--tokens", optarg, 1, 1000000000, &o.tokens));
            break;
        case OPT_TEMPERATURE:
            TRY(cli_real("--temperature", optarg, 0, 100, &o.temperature));
            break;
        case OPT_TOP_K:
            TRY(cli_whole("--top-k", optarg, 0, 1000000, &o.top_k));
            break;
        case OPT_TOP_P:
            TRY(cli_real("--top-p", optarg, 0, 1, &o.top_p));
            break;
        case OPT_SEED:
            TRY(cli_whole("--seed", optarg, 0, 4294967295, &seed));
            o.seed = (uint32_t)seed;
            break;
        case OPT_TOKENIZER:
            o.tokenizer = optarg;
            break;
        case OPT_BACKEND:
            o.backend = optarg;
            break;
        case OPT_NO_CACHE:
            o.no_cache = 1;
            break;
        case OPT_HELP:
            return fputs(usage, stdout) < 0;
        default:
            return cli_bad_option("generate", argv);
        }
    }
    if (optind != argc - 1)
        return fail(STATUS_USAGE,
                    "lockstep generate: give one checkpoint or run folder; see 'lockstep generate --help'");
    if (!o.prompt)
        return fail(STATUS_USAGE, "lockstep generate: --prompt TEXT is missing; see 'lockstep generate --help'");
    return generate_run(argv[optind], &o, stdout);
}
