/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store.h: the sealed bundles and what lies beside them.
 *
 *   bundles/<id>.tar.zst  <id>.manifest.json  <id>.report.json  <id>.sha256  [<id>.pin]
 *
 * A bundle is listed when <id>.tar.zst exists (it is renamed into place last) and its manifest
 * says the same id. What is broken or foreign is ignored and named, never deleted. The index is a
 * list in memory, newest trigger first; only the loop touches it.
 */
#ifndef WATCHDOG_STORE_H
#define WATCHDOG_STORE_H

#include "base/error.h"
#include "base/limits.h"
#include "rules/watch.h"

struct store_entry {
    char id[LIMIT_ID_BYTES + 1];
    char incident[LIMIT_ID_BYTES + 1];
    char target[LIMIT_NAME_BYTES + 1];
    char rule[LIMIT_NAME_BYTES + 1];
    char reason[16];
    enum watch_grade grade;
    bool partial;
    bool pinned;
    int64_t onset_ms;   /* wall */
    int64_t trigger_ms; /* wall */
    int64_t sealed_ms;  /* wall */
    int64_t size_bytes;
    int64_t raw_bytes; /* of all artifacts before packing */
    char sha256[65];
    char summary[320];
};

struct store_index {
    struct store_entry *entries; /* newest trigger first; owned */
    size_t count;
    unsigned ignored;        /* names that are no good bundle */
    char ignored_first[320]; /* the first of them and why, "" when none */
    unsigned temporary;      /* leftovers of a crash that were removed */
};

struct store {
    int root_fd;
    int bundles_fd;
    int journal_fd;
    struct store_index index;
};

/* Opens the folders under root_fd (kept, not owned). The index is empty until store_adopt. */
int store_open(int root_fd, struct store *ret, struct error *err);
void store_close(struct store *s);

/* Reads bundles/ into a fresh index, removing temporary files of a crash: any thread, before the
 * first capture. */
int store_scan(int bundles_fd, struct store_index *ret, struct error *err);
void store_index_release(struct store_index *index);
/* Joins a scanned index into the store's own (what was sealed meanwhile stays); takes its memory.
 */
void store_adopt(struct store *s, struct store_index *scanned);

/* The listed bundle `id`, or NULL; valid until the next change. */
const struct store_entry *store_find(const struct store *s, const char *id);
/* Adds or replaces. */
void store_put(struct store *s, const struct store_entry *entry);
/* Takes it out of the index; the files go by store_unlink. */
void store_forget(struct store *s, const char *id);
/* Removes the files of `id`, the bundle first and durably: any thread. Absent is success. */
int store_unlink(int bundles_fd, const char *id, struct error *err);
/* True when the bundle's file is in place: any thread. */
bool store_listed(int bundles_fd, const char *id);
/* Pins or unpins, on disk and in the index. -ENOENT when there is no such bundle. */
int store_pin(struct store *s, const char *id, bool pin, struct error *err);
int64_t store_bytes(const struct store *s);

/* Fills what a manifest knows; its `id` must be `id`. -EINVAL with the reason. */
int store_manifest(const char *json, size_t len, const char *id, struct store_entry *ret,
                   struct error *err);

#endif
