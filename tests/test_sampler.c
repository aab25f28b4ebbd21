/* The order of data: a function of seed, step, slot and micro-batch; every window of an epoch once; the same for every number of
 * ranks and after a resume; documents apart, packed and masked. */
#include "base/check.h"
#include "data/prefetch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define END 7 /* the end-of-text token of these tests */

static void must(int status) {
    if (status) fail_msg("status %d: %s", status, fail_message());
}

/* A source of `count` tokens in memory. `mask` may be NULL. */
struct memory_source {
    struct source source;
    struct tokens shard;
    int64_t begin[2];
};

static void memory_open(struct memory_source *m, const int32_t *tokens, int64_t count, const uint8_t *mask) {
    *m =
        (struct memory_source){.shard = {.width = 4, .count = count, .end_of_text = END, .data = tokens, .mask = mask}};
    m->begin[1] = count;
    m->source = (struct source){.name = "memory", .shard = &m->shard, .shard_begin = m->begin, .shards = 1};
    m->source.count = count;
    m->source.weight = 1;
    m->source.end_of_text = END;
    m->source.masked = mask != NULL;
}

static int32_t *counting(int64_t count) {
    int32_t *tokens = malloc((size_t)count * sizeof *tokens);
    assert_non_null(tokens);
    for (int64_t i = 0; i < count; i++) tokens[i] = (int32_t)i + 100;
    return tokens;
}

static const struct sampler_options small = {
    .window = 8, .slots = 8, .micro_batches = 2, .batch = 3, .vocab = 1 << 24, .seed = 5};

static void every_window_of_an_epoch_once(void **state) {
    (void)state;
    static const int64_t lengths[] = {9, 16, 17, 100, 1000, 12345};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        struct memory_source m;
        struct sampler s;
        memory_open(&m, NULL, lengths[i], NULL);
        must(sampler_open(&s, &m.source, 1, &small));
        int64_t windows = s.part[0].count, first_shift = -1, shifts = 0;
        char *visited = calloc((size_t)windows, 1);
        for (int64_t epoch = 0; epoch < 4; epoch++) {
            memset(visited, 0, (size_t)windows);
            int64_t shift = sampler_place(&s, epoch * windows).at % 8;
            for (int64_t n = 0; n < windows; n++) {
                struct place place = sampler_place(&s, epoch * windows + n);
                assert_int_equal(place.epoch, epoch);
                assert_true(place.at >= 0 && place.at + 8 < lengths[i]); /* the token after the window exists */
                assert_int_equal(place.at % 8, shift);
                assert_false(visited[place.at / 8]++);
            }
            shifts += epoch > 0 && shift != first_shift;
            first_shift = shift;
        }
        assert_true(windows < 100 || shifts > 0);
        free(visited);
        sampler_close(&s);
    }
}

/* Epochs are in different orders, and another seed gives another one. */
static void orders_differ(void **state) {
    (void)state;
    struct memory_source m;
    struct sampler s, other;
    struct sampler_options options = small;
    memory_open(&m, NULL, 8 * 1001, NULL);
    must(sampler_open(&s, &m.source, 1, &options));
    options.seed++;
    must(sampler_open(&other, &m.source, 1, &options));
    int64_t windows = s.part[0].count, same_epoch = 0, same_seed = 0, same_order = 0;
    assert_int_equal(windows, 1000);
    for (int64_t n = 0; n < windows; n++) {
        int64_t window = sampler_place(&s, n).at / 8;
        same_epoch += window == sampler_place(&s, windows + n).at / 8;
        same_seed += window == sampler_place(&other, n).at / 8;
        same_order += window == n;
    }
    assert_true(same_epoch < 10 && same_seed < 10 && same_order < 10); /* 1 is expected of each */
    sampler_close(&s);
    sampler_close(&other);
}

/* One micro-batch as it should be, straight from the sampler. */
static void check_batch(const struct sampler *s, const struct prefetched *got) {
    int32_t tokens[3 * 8], targets[3 * 8], starts[3 * 8];
    struct batch want = {tokens, targets, starts, 0};
    must(sampler_batch(s, got->step, got->slot, got->micro, &want));
    assert_memory_equal(got->batch.tokens, tokens, sizeof tokens);
    assert_memory_equal(got->batch.targets, targets, sizeof targets);
    assert_int_equal(got->batch.counted, want.counted);
}

/* The ranks together see slots 0 to 7 of each step in order, whichever step they start at. */
static void same_for_all_ranks_and_after_resume(void **state) {
    (void)state;
    static const int rank_counts[] = {1, 2, 3, 8};
    int32_t *tokens = counting(5000);
    struct memory_source m;
    struct sampler s;
    memory_open(&m, tokens, 5000, NULL);
    must(sampler_open(&s, &m.source, 1, &small));
    for (int c = 0; c < 4; c++)
        for (int rank = 0; rank < rank_counts[c]; rank++)
            for (int64_t resume = 0; resume <= 7; resume += 7) {
                int64_t lo = 8 * rank / rank_counts[c], hi = 8 * (rank + 1) / rank_counts[c];
                struct prefetch p;
                const struct prefetched *got;
                must(prefetch_open(&p, &s, (struct prefetch_slots){lo, 1, hi - lo}, resume, rank % 2,
                                   NULL)); /* with and without the thread */
                for (int64_t step = resume; step < 20; step++)
                    for (int64_t slot = lo; slot < hi; slot++)
                        for (int64_t micro = 0; micro < 2; micro++) {
                            must(prefetch_next(&p, 60, &got));
                            assert_int_equal(got->step, step);
                            assert_int_equal(got->slot, slot);
                            assert_int_equal(got->micro, micro);
                            assert_int_equal(got->step_counted, 8 * 2 * 3 * 8);
                            check_batch(&s, got);
                        }
                prefetch_close(&p);
            }
    /* What the numbers stand for: sequence n of the run, row by row. */
    int32_t row[3 * 8], next[3 * 8];
    struct batch batch = {row, next, NULL, 0};
    must(sampler_batch(&s, 3, 5, 1, &batch));
    for (int64_t i = 0; i < 3; i++) {
        int64_t at = sampler_place(&s, ((3 * 8 + 5) * 2 + 1) * 3 + i).at;
        for (int64_t t = 0; t < 8; t++) {
            assert_int_equal(row[i * 8 + t], at + t + 100);
            assert_int_equal(next[i * 8 + t], at + t + 101);
        }
    }
    sampler_close(&s);
    free(tokens);
}

/* Three sources with weights: each block holds their shares exactly, and each source's epochs are whole. */
static void mixtures_keep_their_shares(void **state) {
    (void)state;
    static const double weights[] = {0.7, 0.2, 0.1};
    static const int64_t lengths[] = {30000, 2000, 800};
    struct memory_source m[3];
    struct source sources[3];
    struct sampler s;
    int64_t seen[3] = {0}, ordered = 0, last = -1;
    int32_t *visits[3];
    for (int i = 0; i < 3; i++) {
        memory_open(&m[i], NULL, lengths[i], NULL);
        sources[i] = m[i].source;
        sources[i].weight = weights[i];
        visits[i] = calloc((size_t)lengths[i] / 8 + 1, sizeof(int32_t));
    }
    must(sampler_open(&s, sources, 3, &small));
    assert_int_equal(s.share[0] + s.share[1] + s.share[2], MIXTURE_BLOCK);
    for (int i = 0; i < 3; i++)
        assert_in_range(s.share[i], weights[i] * MIXTURE_BLOCK - 1, weights[i] * MIXTURE_BLOCK + 1);
    for (int64_t n = 0; n < MIXTURE_BLOCK; n++) {
        struct place place = sampler_place(&s, n);
        seen[place.part]++;
        ordered += place.part == last;
        last = place.part;
        visits[place.part][place.at / 8]++;
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(seen[i], s.share[i]);
        int64_t windows = s.part[i].count, epochs = seen[i] / windows;
        for (int64_t w = 0; w < windows; w++) assert_in_range(visits[i][w], epochs, epochs + 1);
    }
    /* Drawn independently, neighbours are of one source with probability 0.49 + 0.04 + 0.01. */
    assert_in_range(ordered, 0.52 * MIXTURE_BLOCK, 0.56 * MIXTURE_BLOCK);
    sampler_close(&s);
    for (int i = 0; i < 3; i++) free(visits[i]);
}

static void tiny_weights_are_not_lost(void **state) {
    (void)state;
    struct memory_source m;
    struct source sources[3];
    struct sampler s;
    memory_open(&m, NULL, 1000, NULL);
    for (int i = 0; i < 3; i++) sources[i] = m.source;
    sources[0].weight = 1e-9;
    sources[1].weight = 1e9;
    must(sampler_open(&s, sources, 3, &small));
    assert_int_equal(s.share[0], 1);
    assert_int_equal(s.share[2], 1);
    assert_int_equal(s.share[1], MIXTURE_BLOCK - 2);
    sampler_close(&s);
}

/* ---- documents ---- */

/* Documents of these lengths, each ended by END; their tokens count up through all of them. */
static const int64_t document_lengths[] = {3, 2, 8, 1, 5, 20, 4, 4, 7, 1, 1, 6};
enum { DOCUMENTS = sizeof document_lengths / sizeof *document_lengths };

static int32_t *documents(int64_t *count) {
    int64_t total = 0, at = 0;
    for (int d = 0; d < DOCUMENTS; d++) total += document_lengths[d];
    int32_t *tokens = counting(total);
    for (int d = 0; d < DOCUMENTS; d++) tokens[(at += document_lengths[d]) - 1] = END;
    *count = total;
    return tokens;
}

/* Which document token `at` belongs to, and where that one begins. */
static int document_of(int64_t at, int64_t *begin) {
    int d = 0;
    for (*begin = 0; at >= *begin + document_lengths[d]; d++) *begin += document_lengths[d];
    return d;
}

static void apart_keeps_documents_apart(void **state) {
    (void)state;
    int64_t count, begin;
    int32_t *all = documents(&count), tokens[8], targets[8], starts[8];
    struct batch batch = {tokens, targets, starts, 0};
    struct memory_source m;
    struct windows w;
    memory_open(&m, all, count, NULL);
    must(windows_open(&w, &m.source, 8, APART));
    for (int64_t at = 0; at + 8 < count; at++) {
        batch.counted = 0;
        must(windows_fill(&w, at, 1 << 24, &batch, 0));
        int64_t counted = 0;
        for (int64_t t = 0; t < 8; t++) {
            document_of(at + t, &begin);
            assert_int_equal(tokens[t], all[at + t]);
            assert_int_equal(starts[t], begin < at ? 0 : begin - at);
            assert_int_equal(targets[t], all[at + t] == END ? -1 : all[at + t + 1]);
            counted += targets[t] >= 0;
        }
        assert_int_equal(batch.counted, counted);
    }
    windows_close(&w);
    free(all);
}

/* Every document is in one window, whole unless it is longer, and in order. */
static void packed_holds_whole_documents(void **state) {
    (void)state;
    int64_t count, begin, seen = 0, dropped = 0;
    int32_t *all = documents(&count), tokens[8], targets[8], starts[8];
    struct batch batch = {tokens, targets, starts, 0};
    struct memory_source m;
    struct windows w;
    memory_open(&m, all, count, NULL);
    must(windows_open(&w, &m.source, 8, PACKED));
    int whole[DOCUMENTS] = {0};
    for (int64_t i = 0; i < w.count; i++) {
        must(windows_fill(&w, i, 1 << 24, &batch, 0));
        for (int64_t t = 0; t < w.length[i]; t++) {
            int64_t at = w.begin[i] + t;
            int d = document_of(at, &begin);
            int64_t length = document_lengths[d] < 8 ? document_lengths[d] : 8;
            assert_true(begin >= w.begin[i]);
            assert_int_equal(tokens[t], all[at]);
            assert_int_equal(starts[t], begin - w.begin[i]);
            assert_int_equal(targets[t], at + 1 < begin + length ? all[at + 1] : -1);
            whole[d]++;
            seen++;
        }
        for (int64_t t = w.length[i]; t < 8; t++) {
            assert_int_equal(targets[t], -1);
            assert_int_equal(starts[t], w.length[i]);
        }
    }
    for (int d = 0; d < DOCUMENTS; d++) {
        int64_t length = document_lengths[d] < 8 ? document_lengths[d] : 8;
        assert_int_equal(whole[d], length);
        dropped += document_lengths[d] - length;
    }
    assert_int_equal(w.held, seen);
    assert_int_equal(w.dropped, dropped);
    assert_int_equal(w.count, 7); /* 3+2, 8, 1+5, 8, 4+4, 7+1, 1+6 */
    windows_close(&w);
    free(all);
}

/* A mask leaves targets out, and the step's count says how many are left, for every mode. */
static void masks_leave_targets_out(void **state) {
    (void)state;
    int64_t count;
    int32_t *all = documents(&count), tokens[3 * 8], targets[3 * 8], starts[3 * 8];
    uint8_t *mask = calloc((size_t)count / 8 + 1, 1);
    for (int64_t i = 0; i < count; i++)
        if (i % 3) mask[i / 8] |= (uint8_t)(1 << i % 8);
    struct memory_source m;
    memory_open(&m, all, count, mask);
    for (int documents_mode = JOINED; documents_mode <= PACKED; documents_mode++) {
        struct sampler s;
        struct sampler_options options = small;
        options.documents = (enum documents)documents_mode;
        must(sampler_open(&s, &m.source, 1, &options));
        struct batch batch = {tokens, targets, documents_mode == JOINED ? NULL : starts, 0};
        for (int64_t step = 0; step < 5; step++) {
            int64_t total = 0, step_counted;
            for (int64_t slot = 0; slot < 8; slot++)
                for (int64_t micro = 0; micro < 2; micro++) {
                    must(sampler_batch(&s, step, slot, micro, &batch));
                    for (int i = 0; i < 24; i++) {
                        total += targets[i] >= 0;
                        if (targets[i] >= 100) assert_int_not_equal((targets[i] - 100) % 3, 0);
                    }
                }
            must(sampler_counted(&s, step, &step_counted));
            assert_int_equal(step_counted, total);
            assert_true(total > 0 && total < 8 * 2 * 3 * 8 * 2 / 3 + 20);
        }
        sampler_close(&s);
    }
    free(mask);
    free(all);
}

static void documents_need_their_end(void **state) {
    (void)state;
    struct memory_source m;
    struct windows w;
    memory_open(&m, NULL, 100, NULL);
    m.source.end_of_text = -1;
    assert_int_equal(windows_open(&w, &m.source, 8, APART), STATUS_BAD_DATA);
    assert_non_null(strstr(fail_message(), "memory: does not say which token ends a document"));
}

/* ---- evaluation ---- */

/* Every token that has one before it is predicted once. */
static void evaluation_covers_the_text(void **state) {
    (void)state;
    int32_t *all = counting(100), tokens[3 * 8], targets[3 * 8];
    struct batch batch = {tokens, targets, NULL, 0};
    for (int64_t length = 9; length <= 100; length++) {
        struct memory_source m;
        struct windows w;
        memory_open(&m, all, length, NULL);
        must(windows_open(&w, &m.source, 8, JOINED));
        int64_t next = 1, batches = windows_eval_batches(&w, 3);
        for (int64_t b = 0; b < batches; b++) {
            must(windows_eval_batch(&w, 3, b, 1 << 24, &batch));
            int64_t counted = 0;
            for (int i = 0; i < 24; i++) {
                if (targets[i] < 0) continue;
                assert_int_equal(targets[i], next + 100);
                assert_int_equal(tokens[i], next + 99);
                next++;
                counted++;
            }
            assert_int_equal(batch.counted, counted);
            assert_true(counted > 0);
        }
        assert_int_equal(next, length);
        windows_close(&w);
    }
    free(all);
}

/* ---- damage ---- */

/* A token outside the vocabulary is told with its place, through the thread too. */
static void bad_tokens_are_told(void **state) {
    (void)state;
    int32_t *tokens = counting(1000);
    struct memory_source m;
    struct sampler s;
    struct sampler_options options = small;
    struct prefetch p;
    const struct prefetched *got;
    int status = 0;
    tokens[500] = 1100;
    options.vocab = 1100;
    memory_open(&m, tokens, 1000, NULL);
    must(sampler_open(&s, &m.source, 1, &options));
    must(prefetch_open(&p, &s, (struct prefetch_slots){0, 1, 8}, 0, 1, NULL));
    for (int i = 0; i < 200 && !status; i++) status = prefetch_next(&p, 60, &got);
    assert_int_equal(status, STATUS_BAD_DATA);
    assert_non_null(strstr(fail_message(), "memory: token 500 is 1100, outside the model's vocabulary of 1100"));
    prefetch_close(&p);
    sampler_close(&s);
    free(tokens);
}

/* A thread that waits for room, or has made nothing yet, stops when it is told to. */
static void prefetch_stops_at_any_time(void **state) {
    (void)state;
    int32_t *tokens = counting(1000);
    struct memory_source m;
    struct sampler s;
    memory_open(&m, tokens, 1000, NULL);
    must(sampler_open(&s, &m.source, 1, &small));
    for (int taken = 0; taken < 8; taken++) {
        struct prefetch p;
        const struct prefetched *got;
        must(prefetch_open(&p, &s, (struct prefetch_slots){2, 1, 1}, 4, 1, NULL));
        for (int i = 0; i < taken; i++) must(prefetch_next(&p, 60, &got));
        prefetch_close(&p);
    }
    sampler_close(&s);
    free(tokens);
}

/* A thread that does not come back from a read, as of a file system that does not answer. */
static void prefetch_has_a_limit(void **state) {
    (void)state;
    int32_t *tokens = counting(1000);
    struct memory_source m;
    struct sampler s;
    struct prefetch p;
    const struct prefetched *got;
    memory_open(&m, tokens, 1000, NULL);
    must(sampler_open(&s, &m.source, 1, &small));
    must(prefetch_open(&p, &s, (struct prefetch_slots){0, 1, 1}, 0, 0, NULL));
    p.running = 1; /* and there is none that would fill a batch */
    assert_int_equal(prefetch_next(&p, 2, &got), STATUS_FAILED);
    assert_non_null(strstr(fail_message(), "no batch could be read for 2 s"));
    p.running = 0;
    prefetch_close(&p);
    sampler_close(&s);
    free(tokens);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_window_of_an_epoch_once),
        cmocka_unit_test(prefetch_has_a_limit),
        cmocka_unit_test(orders_differ),
        cmocka_unit_test(same_for_all_ranks_and_after_resume),
        cmocka_unit_test(mixtures_keep_their_shares),
        cmocka_unit_test(tiny_weights_are_not_lost),
        cmocka_unit_test(apart_keeps_documents_apart),
        cmocka_unit_test(packed_holds_whole_documents),
        cmocka_unit_test(masks_leave_targets_out),
        cmocka_unit_test(documents_need_their_end),
        cmocka_unit_test(evaluation_covers_the_text),
        cmocka_unit_test(bad_tokens_are_told),
        cmocka_unit_test(prefetch_stops_at_any_time),
    };
    return cmocka_run_group_tests_name("sampler", tests, NULL, NULL);
}
