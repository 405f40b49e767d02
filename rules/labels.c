/* SPDX-License-Identifier: Apache-2.0 */
#include "rules/labels.h"

#include <xxhash.h>

const char *labels_get(const struct labels *l, const char *name)
{
    for (size_t i = 0; i < l->count; i++) {
        if (strcmp(l->items[i].name, name) == 0) {
            return l->items[i].value;
        }
    }
    return "";
}

int labels_sort(struct labels *l)
{
    for (size_t i = 1; i < l->count; i++) {
        struct label moving = l->items[i];
        size_t at = i;
        while (at > 0 && strcmp(l->items[at - 1].name, moving.name) > 0) {
            l->items[at] = l->items[at - 1];
            at--;
        }
        l->items[at] = moving;
    }
    for (size_t i = 1; i < l->count; i++) {
        if (strcmp(l->items[i - 1].name, l->items[i].name) == 0) {
            return (int)i;
        }
    }
    return -1;
}

uint64_t labels_hash(const struct labels *l)
{
    uint64_t hash = l->count;
    for (size_t i = 0; i < l->count; i++) {
        hash = XXH64(l->items[i].name, strlen(l->items[i].name), hash);
        hash = XXH64(l->items[i].value, strlen(l->items[i].value), hash);
    }
    return hash;
}

bool labels_equal(const struct labels *a, const struct labels *b)
{
    if (a->count != b->count) {
        return false;
    }
    for (size_t i = 0; i < a->count; i++) {
        if (strcmp(a->items[i].name, b->items[i].name) != 0 ||
            strcmp(a->items[i].value, b->items[i].value) != 0) {
            return false;
        }
    }
    return true;
}

struct labels *labels_dup(const struct labels *l, size_t *ret_bytes)
{
    size_t head = offsetof(struct labels, items) + l->count * sizeof(l->items[0]);
    size_t bytes = head;
    for (size_t i = 0; i < l->count; i++) {
        bytes += strlen(l->items[i].name) + strlen(l->items[i].value) + 2;
    }
    char *memory = xcalloc(1, bytes);
    struct labels *copy = (struct labels *)(void *)memory;
    char *text = memory + head;
    copy->count = l->count;
    for (size_t i = 0; i < l->count; i++) {
        size_t name = strlen(l->items[i].name) + 1;
        size_t value = strlen(l->items[i].value) + 1;
        copy->items[i].name = memcpy(text, l->items[i].name, name);
        copy->items[i].value = memcpy(text + name, l->items[i].value, value);
        text += name + value;
    }
    *ret_bytes = bytes;
    return copy;
}
