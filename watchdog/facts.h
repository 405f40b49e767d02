/* SPDX-License-Identifier: Apache-2.0 */
/*
 * facts.h: what the brain knows of a capture, and base.json made of it: the manifest without the
 * artifacts, which only the sealer sees.
 */
#ifndef WATCHDOG_FACTS_H
#define WATCHDOG_FACTS_H

#include "base/buf.h"
#include "base/limits.h"
#include "rules/watch.h"

#include <sys/types.h>

struct facts_skipped {
    char collector[LIMIT_NAME_BYTES + 1];
    char why[200];
};

struct facts {
    char id[LIMIT_ID_BYTES + 1];
    char incident[LIMIT_ID_BYTES + 1];
    char reason[16]; /* "onset", "raised", "worse", "manual" */
    enum watch_grade grade;
    bool partial;
    char partial_why[200];
    char instance[LIMIT_NAME_BYTES + 1];
    int64_t onset_ms;   /* wall */
    int64_t trigger_ms; /* wall */
    int64_t trigger_mono_ms;
    char rule[LIMIT_NAME_BYTES + 1];
    enum watch_kind kind;
    double objective; /* 0: none */
    char good[512];
    char bad[512];
    char total[512];
    char summary[320];
    struct watch_counts counts;
    char target[LIMIT_NAME_BYTES + 1];
    bool exited; /* pid is that of the process that is gone */
    pid_t pid;
    uint64_t start_ticks;
    char exe[256];
    char runtime[16];
    char service[LIMIT_NAME_BYTES + 1];
    char version[128];
    char metrics[512];
    char pprof[512];
    struct facts_skipped skipped[LIMIT_COLLECTORS];
    size_t skipped_count;
};

/* Appends base.json. */
void facts_json(const struct facts *f, struct buf *out);
/* base.json as written by facts_json, marked partial with `why`; NULL when it is not JSON. The
 * caller frees it. */
char *facts_partial(const char *base, const char *why);
/* A base for a capture of which nothing but the id is left: staging without a journal. */
char *facts_orphan(const char *id, int64_t wall_ms, const char *why);
void facts_skip(struct facts *f, const char *collector, const char *why);
/* "<target>_<rule>_<UTC ms>_<instance>_<4 hex>", fit for fs_name_ok. */
void facts_id(const char *target, const char *rule, int64_t wall_ms, const char *instance,
              char ret[LIMIT_ID_BYTES + 1]);
/* The host's name, fit for a file name; `out` has LIMIT_NAME_BYTES + 1 bytes. */
char *facts_host(char *out);
const char *facts_runtime(int runtime);
/* "slo", "source_down", "target_exited", "traffic_lost" */
const char *facts_kind(enum watch_kind kind);

#endif
