/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as a selector: an error with its column, or a selector that can be applied. */
#include "rules/selector.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct labels labels = {
        .count = 3, .items = {{"__name__", "x"}, {"code", "503"}, {"route", "/a/\xc3\xa4"}}};
    if (size > 4096) {
        return 0;
    }
    AUTO_FREE char *text = xcalloc(1, size + 1);
    memcpy(text, data, size);
    struct selector *s = NULL;
    struct error err = ERROR_INIT;
    if (selector_parse(text, &s, &err) < 0) {
        if (err.code == 0 || err.column == 0 || err.message[0] == '\0') {
            abort();
        }
        return 0;
    }
    (void)selector_name(s);
    (void)selector_matches(s, &labels);
    selector_free(s);
    return 0;
}
