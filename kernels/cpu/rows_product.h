/* Products of parts of attention: of reals whose rows are strided, by the calling thread alone. */
#ifndef CPU_ROWS_PRODUCT_H
#define CPU_ROWS_PRODUCT_H

#include "rows.h"

/* c[m,n] = a b, or c + a b if `add`. a is [m,k], or [k,m] if a_transposed; b is [k,n], or [n,k] if b_transposed. To be called inside a
 * parallel region, in which CBLAS, which takes small shapes, does not divide them among threads. */
#ifdef KERNEL_DOUBLE
#define rows_product cpu_rows_product_f64
#else
#define rows_product cpu_rows_product_f32
#endif
void rows_product(int a_transposed, int b_transposed, int64_t m, int64_t n, int64_t k, struct rows a, struct rows b,
                  int add, struct rows c);

#endif
