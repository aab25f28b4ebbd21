/* Initial values: normal numbers from Philox by the Box-Muller transform, keyed by (seed, parameter, element). */
#include "model/model.h"

#include <math.h>

#include "base/philox.h"

/* Keeps these draws apart from those of dropout, whose sites count from 0. */
enum { INIT_SITE = 0x494e4954 };

static double unit(uint32_t word) { return ((double)word + 0.5) * (1.0 / 4294967296.0); }

void model_init(const struct param *param, int index, uint32_t seed, enum dtype type, void *values) {
    float *f32 = values;
    double *f64 = values;
#pragma omp parallel for schedule(static) if (param->elems > 65536)
    for (int64_t i = 0; i < param->elems; i += 2) {
        struct philox r = philox((uint32_t)(i / 2), (uint32_t)(i / 2 >> 32), INIT_SITE, (uint32_t)index, seed, 0);
        double radius = sqrt(-2.0 * log(unit(r.word[0]))), angle = 2.0 * M_PI * unit(r.word[1]);
        double pair[2] = {radius * cos(angle), radius * sin(angle)};
        for (int64_t k = i; k < i + 2 && k < param->elems; k++) {
            double value = param->init_std > 0 ? param->init_std * pair[k - i] : param->init_value;
            if (k >= param->used) value = 0;
            if (type == DTYPE_F64)
                f64[k] = (double)(float)value; /* both types start from the same numbers */
            else
                f32[k] = (float)value;
        }
    }
}
