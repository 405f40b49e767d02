/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.h: the whole configuration as one struct, composed from the option tables of all rooms.
 *
 * Loaded from YAML by incidentd-config and `incidentctl check`, encoded into the plan, decoded from
 * it by the brain and by incidentd-collect. incidentd itself never includes this header: it reads
 * the plan's fixed part (plan.h).
 */
#ifndef WATCHDOG_CONFIG_H
#define WATCHDOG_CONFIG_H

#include "base/schema.h"
#include "collectors/collector.h"
#include "rules/watch.h"

/* How to find the process: exactly one field is set, or none (then there is no process to look at).
 */
struct config_process {
    bool present;
    int64_t pid; /* 0: unset */
    const char *pidfile;
    const char *exe; /* absolute path as the target sees it */
    const char *comm;
    const char *cmdline; /* substring of the arguments joined by spaces */
    int64_t port;        /* listening TCP port; 0: unset */
};

struct config_identity {
    const char *service;     /* default: the target's name */
    const char *version;     /* text */
    const char *version_env; /* name of a variable in incidentd's own environment */
    const char *instance;    /* default: the host name */
};

struct config_target {
    const char *name;
    struct config_process process;
    const char *metrics; /* URL of the exposition page, NULL: only built-in process rules */
    const char *pprof;   /* base URL, NULL when none */
    int64_t interval_ms;
    int64_t timeout_ms; /* of one scrape; default min(interval, 5s) is expressed as 0 */
    int runtime;        /* enum collector_runtime; RUNTIME_UNKNOWN: found out */
    struct schema_strings logs;
    int64_t startup_grace_ms; /* after start of incidentd or of the target: only record */
    struct config_identity identity;
};

struct config_rule {
    const char *name;
    const char *target;
    struct slo_options slo;
    int64_t for_ms;
    int64_t keep_firing_for_ms;
    int64_t cooldown_ms;
    struct schema_strings capture; /* {"auto"} or collector names */
};

struct config_limits {
    int64_t per_incident;
    int64_t per_hour;
    int64_t per_day;
};

struct config_store {
    const char *path;
    int64_t max_bytes;
    int64_t max_count;
    int64_t max_age_ms;
    double min_free; /* share of the file system kept free, 0..1 */
};

struct config_server {
    const char *listen;        /* "127.0.0.1:9911" */
    const char *token_file;    /* NULL: loopback only, no token */
    const char *health_listen; /* NULL: none */
};

struct config_process_options {
    const char *user;      /* account of the brain, used when started with CAP_SETUID */
    const char *work_user; /* account of collectors and sealer */
    int log_level;
    int log_format;
    int64_t shutdown_timeout_ms;
};

struct config {
    struct schema_list targets; /* of struct config_target */
    struct schema_list rules; /* of struct config_rule, built-in ones appended by config_complete */
    struct schema_list
        collectors; /* of struct collector_config: overrides, then every kind's default */
    struct config_limits limits;
    struct config_store store;
    struct config_server server;
    struct config_process_options process;
};

extern const struct schema_table config_table;
/* The options all collectors have; the kind's own are its variant. */
extern const struct schema_table config_collector_table;

/* Loads and completes: schema_load with config_table, then config_complete, so that all problems
 * are told at once. Returns 0, -EINVAL with the problems in doc, or -ENOMEM. */
int config_load(struct schema_doc *doc, struct arena *a, struct config *ret);

/* Cross-checks a loaded configuration and completes it: rules name existing targets and collectors,
 * URLs parse, selectors parse, listen addresses are loopback or have a token file, built-in rules
 * and the default instance of every collector kind are added. Problems go to doc. Returns 0 or
 * -EINVAL. */
int config_complete(struct config *c, struct schema_doc *doc, struct arena *a);

/* Typed access to the lists. */
const struct config_target *config_target_at(const struct config *c, size_t i);
const struct config_rule *config_rule_at(const struct config *c, size_t i);
const struct collector_config *config_collector_at(const struct config *c, size_t i);
/* Index of the named entry, or -1. */
int config_target_find(const struct config *c, const char *name);
int config_collector_find(const struct config *c, const char *name);
/* The kind of a rule: by its name for the built-in ones ("source_down", "target_exited",
 * "traffic_lost"), else WATCH_SLO. */
enum watch_kind config_rule_kind(const struct config_rule *rule);

#endif
