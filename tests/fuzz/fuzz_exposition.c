/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a page of metrics: the reader, the labels, and a watch that is fed with it. The
 * first byte chooses the format. */
#include "rules/exposition.h"
#include "rules/watch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ignore(const struct watch_event *event, void *arg)
{
    (void)event;
    (void)arg;
}

static void read_all(const char *page, size_t len, bool openmetrics)
{
    struct exposition e;
    struct exposition_sample s;
    struct error err = ERROR_INIT;
    exposition_init(&e, page, len, openmetrics, NULL, 0);
    while (exposition_next(&e, &s, &err) == 1) {
        struct labels l;
        AUTO_FREE char *scratch = xcalloc(2, s.series_len + 16);
        if (exposition_labels(s.series, s.series_len, &l, scratch, &err) == 0) {
            (void)labels_hash(&l);
        }
        exposition_expect(&e, s.series, s.series_len);
    }
}

static void watch_all(const char *page, size_t len, bool openmetrics)
{
    static const char *by[] = {"code"};
    static const struct slo_options slo = {.objective = 0.9,
                                           .good = "x{code!~\"5..\"}",
                                           .total = "{__name__=~\"x|y\"}",
                                           .look_back_ms = 4000,
                                           .by = {by, 1}};
    static const struct watch_rule rules[] = {{"a", WATCH_SLO, &slo, 0, 2000},
                                              {"b", WATCH_TRAFFIC_LOST, &slo, 0, 2000}};
    struct watch *w = NULL;
    if (watch_new(rules, 2, 1000, &w, NULL) < 0) {
        abort();
    }
    for (int64_t i = 1; i <= 3; i++) {
        (void)watch_page(w, i * 1000, page, i == 2 ? len / 2 : len, openmetrics, NULL);
        watch_evaluate(w, i * 1000, ignore, NULL);
    }
    watch_free(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    AUTO_FREE char *page = xcalloc(1, size);
    memcpy(page, data + 1, size - 1);
    AUTO_FREE char *exact = size > 1 ? memcpy(xcalloc(1, size - 1), page, size - 1) : xcalloc(1, 1);
    read_all(exact, size - 1, data[0] & 1);
    watch_all(exact, size - 1, data[0] & 1);
    return 0;
}
