/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan.h: the one parsed form of the configuration, a flat sealed memfd.
 *
 * Layout: struct plan_head, its arrays of fixed-size records, then `config_len` bytes of the
 * encoded configuration (schema_encode of config_table). incidentd, which holds the privileges,
 * reads the fixed part only and checks every bound; the brain and incidentd-collect decode the
 * rest. Written by incidentd-config, sealed by incidentd, read by the build that wrote it: `abi` is
 * a hash of all sizes and must match.
 */
#ifndef WATCHDOG_PLAN_H
#define WATCHDOG_PLAN_H

#include "base/error.h"
#include "base/limits.h"

#define PLAN_MAGIC "incdplan"
#define PLAN_PATH_BYTES 512

struct plan_secret {
    char path[PLAN_PATH_BYTES]; /* a file incidentd opens and hands to the brain as a descriptor */
};

struct plan_collector {
    char name[LIMIT_NAME_BYTES + 1];
    uint64_t caps;       /* capabilities it may be given, bit mask */
    uint32_t phases;     /* bit mask of enum collector_phase */
    uint32_t pausing;    /* 1: COLLECTOR_PAUSING */
    int64_t deadline_ms; /* over one phase; incidentd kills the run two seconds later */
    int64_t max_bytes;   /* RLIMIT_FSIZE of the run */
};

struct plan_target {
    char name[LIMIT_NAME_BYTES + 1];
};

struct plan_head {
    char magic[8];
    uint32_t abi;
    uint32_t target_count;
    uint32_t collector_count;
    uint32_t secret_count;
    uint64_t config_len;
    int64_t shutdown_timeout_ms;
    int32_t log_level;  /* enum log_level */
    int32_t log_format; /* enum log_format */
    char store_path[PLAN_PATH_BYTES];
    char user[LIMIT_NAME_BYTES + 1];
    char work_user[LIMIT_NAME_BYTES + 1];
    struct plan_target targets[LIMIT_TARGETS];
    struct plan_collector collectors[LIMIT_COLLECTORS];
    struct plan_secret secrets[LIMIT_SECRETS];
};

/* A mapped plan; read-only; released by plan_unmap. */
struct plan {
    const struct plan_head *head;
    const unsigned char *config; /* encoded configuration */
    size_t size;                 /* of the mapping */
};

/* The value of `abi` for this build. */
uint32_t plan_abi(void);
/* Maps `fd` and checks magic, abi, counts, lengths and that every text ends. 0, or -EINVAL/-EPROTO
 * with err. */
int plan_map(int fd, struct plan *ret, struct error *err);
void plan_unmap(struct plan *p);

#endif
