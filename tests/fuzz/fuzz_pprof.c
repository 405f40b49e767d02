/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: no bytes that a target may serve as a heap profile hurt explain.
 */
#include "report/report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t half = size / 2;
    struct pprof *whole = NULL;
    struct heap_growth *growth = NULL;
    if (pprof_parse(data, size, &whole, NULL) == 0 &&
        heap_growth_new(NULL, whole, &growth, NULL) == 0) {
        heap_growth_free(growth);
    }
    pprof_free(whole);
    AUTO_BUF struct buf out = BUF_INIT(1 << 20);
    const struct explain_input in = {.from = data,
                                     .from_len = half,
                                     .from_path = "before",
                                     .to = data + half,
                                     .to_len = size - half,
                                     .to_path = "after"};
    (void)explain_report(&in, &out, NULL);
    return 0;
}
