/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json.h: what a JSON text will cost before it is parsed. cJSON takes some eighty bytes for each
 * value, so that two bytes of "1," become forty times as much: a text within its limit in bytes may
 * still be a bomb.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "base/base.h"

/* A manifest of LIMIT_ARTIFACTS artifacts with their arguments has some 160,000 values. */
enum { JSON_VALUES_MAX = 400000 };

/* At least as many as a parser would find values in the `len` bytes at `text`, whatever they are.
 */
size_t json_values(const char *text, size_t len);

#endif
