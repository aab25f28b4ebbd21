/* Numbers of 16 bits, all of them: what kernels read and write against the definition, and where rounding turns. */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "base/dtype.h"
#include "kernels/cpu/bf16.h"
#include "kernels/cpu/f16.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static const struct half {
    const char *name;
    enum dtype type;
    float (*read)(uint16_t);
    uint16_t (*write)(float);
    uint16_t infinity; /* its bits; those of finite numbers are below */
} halves[] = {{"f16", DTYPE_F16, f16_to_float, float_to_f16, 0x7c00},
              {"bf16", DTYPE_BF16, bf16_to_float, float_to_bf16, 0x7f80}};

static void expect(const struct half *half, float number, uint16_t bits) {
    if (half->write(number) != bits || half->write(-number) != (bits | 0x8000))
        fail_msg("%s: %a becomes %04x, not %04x", half->name, (double)number, half->write(number), bits);
}

static void every_number_is_read_and_written(void **state) {
    (void)state;
    for (size_t k = 0; k < 2; k++)
        for (int bits = 0; bits < 65536; bits++) {
            const struct half *half = &halves[k];
            uint16_t stored = (uint16_t)bits, back;
            double defined = dtype_read(half->type, &stored, 0);
            float number = half->read(stored);
            if (isnan(defined)) {
                back = half->write(number);
                assert_true(isnan(number) && isnan(half->read(back)));
                continue;
            }
            assert_true((double)number == defined && !signbit(number) == !(stored & 0x8000));
            assert_int_equal(half->write(number), stored);
        }
}

/* Between two neighbours the middle goes to the even one, and the floats beside it to the nearer one. */
static void rounding_turns_in_the_middle(void **state) {
    (void)state;
    for (size_t k = 0; k < 2; k++)
        for (uint16_t bits = 0; bits < halves[k].infinity; bits++) {
            const struct half *half = &halves[k];
            uint16_t next = (uint16_t)(bits + 1), even = bits & 1 ? next : bits;
            double low = (double)half->read(bits);
            double step = bits ? low - (double)half->read((uint16_t)(bits - 1)) : (double)half->read(1);
            double high = next == half->infinity ? low + step : (double)half->read(next);
            float middle = (float)((low + high) / 2);
            if ((double)middle != (low + high) / 2) continue; /* among a float's own denormals there is none */
            expect(half, middle, even);
            expect(half, nextafterf(middle, INFINITY), next);
            expect(half, nextafterf(middle, 0), bits);
        }
}

static void what_is_beyond(void **state) {
    (void)state;
    for (size_t k = 0; k < 2; k++) {
        expect(&halves[k], INFINITY, halves[k].infinity);
        expect(&halves[k], 3.4028234663852886e38f, halves[k].infinity);
        assert_true(isnan(halves[k].read(halves[k].write(NAN))));
    }
    expect(&halves[0], 65504, 0x7bff);
    expect(&halves[0], 65519.996f, 0x7bff);
    expect(&halves[0], 65520, 0x7c00);
    expect(&halves[0], 0x1p-149f, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_number_is_read_and_written),
                                       cmocka_unit_test(rounding_turns_in_the_middle),
                                       cmocka_unit_test(what_is_beyond)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
