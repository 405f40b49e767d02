/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"

size_t json_values(const char *text, size_t len)
{
    size_t count = 1;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        count += c == ',' || c == '[' || c == '{' ? 1 : 0;
    }
    return count;
}
