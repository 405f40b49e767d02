/* SPDX-License-Identifier: Apache-2.0 */
/* Range, If-Range and ETag lists: whatever comes, a part lies within the file. */
#include "watchdog/range.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len == 0) {
        return 0;
    }
    char *text = xcalloc(1, len);
    memcpy(text, data + 1, len - 1);
    const uint64_t size = (uint64_t)data[0] * data[0];
    struct range r = {0};
    if (range_parse(text, size, &r) == RANGE_PART &&
        (r.length == 0 || r.length > size || r.offset > size - r.length)) {
        abort();
    }
    (void)range_if_range(text, "\"ab\"");
    (void)range_etag_listed(text, "\"ab\"", len % 2 == 0);
    free(text);
    return 0;
}
