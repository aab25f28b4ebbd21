/* lockstep data order: which text each step trains on. */
#include <inttypes.h>
#include <stdio.h>

#include "base/check.h"
#include "cli/cli.h"
#include "data/dataset.h"
#include "data/sampler.h"
#include "run/run.h"

static const char usage[] =
    "lockstep data order CONFIG.yaml [options]\n"
    "\n"
    "Prints where the tokens of each step lie, a line a sequence, in the order of training. The order is the same on "
    "any number of\n"
    "ranks. Lines that begin with # name the sources and the columns; 'offset' is the sequence's first token, counted "
    "from the\n"
    "beginning of its source (all shards in one row), and step, slot, micro, row and source count from 0.\n"
    "\n"
    "  --first-step N    the first step that is printed (default 0)\n"
    "  --steps N         how many (default 1)\n"
    "  --set KEY=VALUE   override a key of the config; may be given again\n"
    "\n"
    "Examples: lockstep data order configs/tiny.yaml --first-step 1234\n"
    "          lockstep data order runs/book/config.yaml --first-step 500 --steps 10 | awk '!/^#/ { print $6 }'\n";

enum { OPT_SET = 256, OPT_FIRST_STEP, OPT_STEPS, OPT_HELP };

#define LAST_STEP INT64_C(4294967295) /* as train.steps */

static const struct option options[] = {
    {"set", required_argument, NULL, OPT_SET},
    {"first-step", required_argument, NULL, OPT_FIRST_STEP},
    {"steps", required_argument, NULL, OPT_STEPS},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

static void print_header(const struct dataset *data) {
    for (int i = 0; i < data->parts; i++)
        printf("# source %d: %s, %" PRId64 " tokens\n", i, data->train[i].name, data->train[i].count);
    puts("# step slot micro row source offset");
}

/* Packed windows have numbers of their own, which say nothing to a reader. */
static int64_t first_token(const struct sampler *sampler, struct place place) {
    const struct windows *windows = &sampler->part[place.part];
    return windows->documents == PACKED ? windows->begin[place.at] : place.at;
}

static void print_step(const struct sampler *sampler, int64_t step) {
    const struct sampler_options *o = &sampler->options;
    int64_t number = step * o->slots * o->micro_batches * o->batch;
    for (int64_t slot = 0; slot < o->slots; slot++)
        for (int64_t micro = 0; micro < o->micro_batches; micro++)
            for (int64_t row = 0; row < o->batch; row++) {
                struct place place = sampler_place(sampler, number++);
                printf("%" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %d %" PRId64 "\n", step, slot, micro, row,
                       place.part, first_token(sampler, place));
            }
}

/* Opens what train/setup.c opens, in the same way: what validation takes from the end is not trained on. */
static int print_order(const struct config *c, int64_t first, int64_t steps) {
    const struct dataset_options named = run_dataset_options(c);
    const struct sampler_options order = run_sampler_options(c);
    struct dataset data;
    struct sampler sampler;
    TRY(dataset_open(&data, &named));
    int status = sampler_open(&sampler, data.train, data.parts, &order);
    if (!status) {
        print_header(&data);
        for (int64_t step = first; step < first + steps && !ferror(stdout); step++) print_step(&sampler, step);
        sampler_close(&sampler);
    }
    dataset_close(&data);
    return status;
}

/* Numbers of sequences must fit into 64 bits. */
static int check_steps(const struct config *c, int64_t first, int64_t steps) {
    int64_t sequences = c->train.slots * c->train.micro_batches_per_slot * c->train.micro_batch;
    if (first + steps - 1 > LAST_STEP)
        return fail(STATUS_USAGE, "--steps: the last step would be %" PRId64 ", but the largest is %" PRId64,
                    first + steps - 1, LAST_STEP);
    if (first + steps > INT64_MAX / sequences)
        return fail(STATUS_USAGE, "--first-step: a run of %" PRId64 " sequences a step ends before step %" PRId64,
                    sequences, first + steps - 1);
    return 0;
}

int cli_data_order(int argc, char **argv) {
    struct config config;
    int64_t first = 0, steps = 1;
    config_defaults(&config);
    for (int pass = 0; pass < 2; pass++) { /* the file first, then what overrides it */
        optind = 1;
        for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
            if (c == '?') return cli_bad_option("data order", argv);
            if (c == OPT_HELP) return fputs(usage, stdout) < 0;
            if (c == OPT_FIRST_STEP) TRY(cli_whole("--first-step", optarg, 0, LAST_STEP, &first));
            if (c == OPT_STEPS) TRY(cli_whole("--steps", optarg, 1, LAST_STEP, &steps));
            if (c == OPT_SET && pass) TRY(cli_set(&config, optarg));
        }
        if (optind != argc - 1)
            return fail(STATUS_USAGE, "lockstep data order: give one CONFIG.yaml; see 'lockstep data order --help'");
        if (!pass) TRY(config_load(&config, argv[optind]));
    }
    TRY(config_check(&config));
    TRY(check_steps(&config, first, steps));
    return print_order(&config, first, steps);
}
