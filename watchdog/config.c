/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The option tables of the whole file: one row per key, documented once, here.
 *
 * The tables of the other rooms hang in them: `slo:` is rules/watch.h's, a collector's own options
 * are its kind's. What needs more than one value, or a library, is checked in config_complete.c, so
 * that the programs that only decode a plan link nothing for it.
 */
#include "watchdog/config.h"

#include "base/fs.h"
#include "base/limits.h"

#include <errno.h>

#define HOUR_MS 3600e3
#define DAY_MS (24 * HOUR_MS)

/* A name becomes part of bundle names: its characters are those of file names everywhere. */
static int check_name(const char *text, struct error *err)
{
    size_t good = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");
    if (fs_name_ok(text, LIMIT_NAME_BYTES)) {
        return 0;
    }
    if (strlen(text) > LIMIT_NAME_BYTES) {
        return error_set(err, -EINVAL, "has %zu bytes, more than %d", strlen(text),
                         LIMIT_NAME_BYTES);
    }
    if (text[good] == '\0') {
        good = 0;
    }
    (void)error_set(err, -EINVAL, "must not %s '%c'", good == 0 ? "begin with" : "contain",
                    text[good]);
    (void)error_remedy(err, "it is used in file names: letters, digits, '.', '_' and '-', "
                            "not beginning with '.' or '-'");
    return error_at(err, "", 0, (unsigned)good + 1);
}

static int check_path(const char *text, struct error *err)
{
    enum { PATH_BYTES = 512 };
    if (text[0] != '/') {
        (void)error_set(err, -EINVAL, "must be an absolute path, not '%.100s'", text);
        return error_remedy(err, "begin it with '/'");
    }
    return strlen(text) < PATH_BYTES
               ? 0
               : error_set(err, -EINVAL, "has more than %d bytes", PATH_BYTES - 1);
}

static const struct schema_option process_options[] = {
    {.name = "pid",
     .type = SCHEMA_INT,
     .offset = offsetof(struct config_process, pid),
     .min = 1,
     .max = 4194304,
     .help = "process id, for a process that never restarts"},
    {.name = "pidfile",
     .type = SCHEMA_STRING,
     .offset = offsetof(struct config_process, pidfile),
     .check = check_path,
     .help = "file that holds the process id"},
    {.name = "exe",
     .type = SCHEMA_STRING,
     .offset = offsetof(struct config_process, exe),
     .check = check_path,
     .help = "path of the executable, as the target sees it"},
    {.name = "comm",
     .type = SCHEMA_STRING,
     .offset = offsetof(struct config_process, comm),
     .help = "name of the process as in /proc/PID/comm"},
    {.name = "cmdline",
     .type = SCHEMA_STRING,
     .offset = offsetof(struct config_process, cmdline),
     .help = "part of the command line, arguments joined by blanks"},
    {.name = "port",
     .type = SCHEMA_INT,
     .offset = offsetof(struct config_process, port),
     .min = 1,
     .max = 65535,
     .help = "TCP port on which it listens"},
    {.name = NULL},
};

static const struct schema_hint process_hints[] = {
    {"container", "containers are not supported yet: use 'exe', 'pidfile' or 'port'"},
    {"name", "write 'comm' for the process name, or 'exe' for the path of its executable"},
    {"command", "write 'cmdline' for a part of the command line"},
    {"systemd", "units are not supported yet: use 'exe', 'pidfile' or 'port'"},
    {NULL, NULL},
};

static const struct schema_table process_table = {
    .name = "process",
    .help = "how to find the process",
    .size = sizeof(struct config_process),
    .options = process_options,
    .hints = process_hints,
};

static const struct schema_option identity_options[] = {
    {.name = "service",
     .type = SCHEMA_STRING,
     .offset = offsetof(struct config_identity, service),
     .help = "name of the service in the manifest; default: the target's name"},
    {.name = "version",
     .type = SCHEMA_STRING,
     .offset = offsetof(struct config_identity, version),
     .flags = SCHEMA_ENV,
     .help = "version in the manifest, or the variable of incidentd's environment that holds it"},
    {.name = "version_env",
     .type = SCHEMA_STRING,
     .offset = offsetof(struct config_identity, version_env),
     .flags = SCHEMA_HIDDEN},
    {.name = "instance",
     .type = SCHEMA_STRING,
     .offset = offsetof(struct config_identity, instance),
     .check = check_name,
     .help = "which of the service's instances, part of bundle names; default: the host name"},
    {.name = NULL},
};

static const struct schema_table identity_table = {
    .name = "identity",
    .help = "who the target is, in the manifest",
    .size = sizeof(struct config_identity),
    .options = identity_options,
};

/* By enum collector_runtime. */
static const char *const runtime_names[] = {"auto", "go", "jvm", "node", "python", "native", NULL};

static const struct schema_option target_options[] = {
    {.name = "name",
     .type = SCHEMA_STRING,
     .offset = offsetof(struct config_target, name),
     .flags = SCHEMA_KEY,
     .check = check_name},
    {.name = "process",
     .type = SCHEMA_STRUCT,
     .offset = offsetof(struct config_target, process),
     .flags = SCHEMA_PRESENT,
     .of = &process_table,
     .help = "how to find the process: exactly one of the keys below"},
    {.name = "metrics",
     .type = SCHEMA_STRING,
     .offset = offsetof(struct config_target, metrics),
     .help = "URL of the page in Prometheus' text format or OpenMetrics"},
    {.name = "pprof",
     .type = SCHEMA_STRING,
     .offset = offsetof(struct config_target, pprof),
     .help = "URL of Go's pprof handlers, such as http://127.0.0.1:6060/debug/pprof"},
    {.name = "interval",
     .type = SCHEMA_DURATION,
     .offset = offsetof(struct config_target, interval_ms),
     .fallback = "1s",
     .min = 100,
     .max = HOUR_MS,
     .help = "time between two polls"},
    {.name = "timeout",
     .type = SCHEMA_DURATION,
     .offset = offsetof(struct config_target, timeout_ms),
     .min = 10,
     .max = HOUR_MS,
     .help = "time for one poll, at most the interval; default: the interval, at most 5s"},
    {.name = "runtime",
     .type = SCHEMA_ENUM,
     .offset = offsetof(struct config_target, runtime),
     .fallback = "auto",
     .choices = runtime_names,
     .help = "what the program runs on; decides what `capture: auto` means"},
    {.name = "logs",
     .type = SCHEMA_STRINGS,
     .offset = offsetof(struct config_target, logs),
     .check = check_path,
     .help = "log files whose ends go into bundles"},
    {.name = "startup_grace",
     .type = SCHEMA_DURATION,
     .offset = offsetof(struct config_target, startup_grace_ms),
     .fallback = "5s",
     .min = 0,
     .max = DAY_MS,
     .help = "after a start of incidentd or of the target rules only record for this long"},
    {.name = "identity",
     .type = SCHEMA_STRUCT,
     .offset = offsetof(struct config_target, identity),
     .of = &identity_table,
     .help = "who the target is, in the manifest"},
    {.name = NULL},
};

static const struct schema_hint target_hints[] = {
    {"url", "write 'metrics' for the URL of the metrics page"},
    {"metrics_url", "write 'metrics'"},
    {"metrics_path", "write the whole URL: 'metrics: http://127.0.0.1:8080/metrics'"},
    {"scrape_interval", "write 'interval'"},
    {"scrape_timeout", "write 'timeout'"},
    {"pid", "write 'process: {pid: ...}'"},
    {"exe", "write 'process: {exe: ...}'"},
    {"port", "write 'process: {port: ...}'"},
    {"service", "write 'identity: {service: ...}'"},
    {"version", "write 'identity: {version: ...}'"},
    {"labels", "labels are not supported yet: 'identity' names service, version and instance"},
    {"prometheus", "a Prometheus server as source is not supported yet: use 'metrics'"},
    {"baseline", "baselines are not supported yet"},
    {"headers", "request headers are not supported yet"},
    {"probe", "probes are not supported yet: use 'metrics'"},
    {NULL, NULL},
};

static const struct schema_table target_table = {
    .name = "target",
    .help = "what is watched",
    .size = sizeof(struct config_target),
    .options = target_options,
    .hints = target_hints,
};

static const struct schema_option rule_options[] = {
    {.name = "name",
     .type = SCHEMA_STRING,
     .offset = offsetof(struct config_rule, name),
     .flags = SCHEMA_KEY | SCHEMA_REQUIRED,
     .check = check_name,
     .help = "a name of your choice, part of bundle names"},
    {.name = "target",
     .type = SCHEMA_STRING,
     .offset = offsetof(struct config_rule, target),
     .help = "name of the target; may be left out when there is only one"},
    {.name = "slo",
     .type = SCHEMA_STRUCT,
     .offset = offsetof(struct config_rule, slo),
     .flags = SCHEMA_PRESENT,
     .of = &slo_table,
     .help = "the objective and what counts as good or bad"},
    {.name = "for",
     .type = SCHEMA_DURATION,
     .offset = offsetof(struct config_rule, for_ms),
     .fallback = "0s",
     .min = 0,
     .max = DAY_MS,
     .help = "the condition holds this long before the rule fires"},
    {.name = "keep_firing_for",
     .type = SCHEMA_DURATION,
     .offset = offsetof(struct config_rule, keep_firing_for_ms),
     .fallback = "60s",
     .min = 0,
     .max = DAY_MS,
     .help = "quiet this long before the incident is resolved; dips in between belong to it"},
    {.name = "cooldown",
     .type = SCHEMA_DURATION,
     .offset = offsetof(struct config_rule, cooldown_ms),
     .fallback = "15m",
     .min = 0,
     .max = 30 * DAY_MS,
     .help = "after an incident no new capture for this long, unless it is three times worse"},
    {.name = "capture",
     .type = SCHEMA_STRINGS,
     .offset = offsetof(struct config_rule, capture),
     .fallback = "auto",
     .help = "`auto` (by the target's runtime) and names of collectors"},
    {.name = NULL},
};

static const struct schema_hint rule_hints[] = {
    {"expr", "'expr' rules are not supported yet: write 'slo:' with 'total' and 'good' or 'bad'"},
    {"alert", "Prometheus alerting rules are not supported yet: write 'name' and 'slo'"},
    {"record", "recording rules are not supported"},
    {"window", "write 'slo: {look_back: 30s}' for the time looked at, or 'slo: {period: 30d}' for "
               "the SLO's period"},
    {"collectors", "write 'capture' for the list of collectors a rule fires"},
    {"collect", "write 'capture'"},
    {"labels", "labels of rules are not supported yet"},
    {"annotations", "annotations are not supported yet"},
    {"severity", "severities are not supported yet"},
    {"deliver", "delivery is not supported yet: bundles are fetched from 'server'"},
    {"service", "write 'target' for the name of a target"},
    {NULL, NULL},
};

static const struct schema_table rule_table = {
    .name = "rule",
    .help = "a condition and what it fires",
    .size = sizeof(struct config_rule),
    .options = rule_options,
    .hints = rule_hints,
};

static const struct schema_option collector_options[] = {
    {.name = "name",
     .type = SCHEMA_STRING,
     .offset = offsetof(struct collector_config, name),
     .flags = SCHEMA_KEY,
     .check = check_name},
    {.name = "type",
     .type = SCHEMA_STRING,
     .offset = offsetof(struct collector_config, type),
     .flags = SCHEMA_KIND,
     .help = "the kind of collector; default: its name"},
    {.name = "deadline",
     .type = SCHEMA_DURATION,
     .offset = offsetof(struct collector_config, deadline_ms),
     .min = 100,
     .max = HOUR_MS,
     .help = "time over all its steps of one phase; default: the kind's own"},
    {.name = "max_bytes",
     .type = SCHEMA_SIZE,
     .offset = offsetof(struct collector_config, max_bytes),
     .fallback = "256MiB",
     .min = 4096,
     .max = 64.0 * (1 << 30),
     .help = "size at which one artifact is cut"},
    {.name = "allow_pause",
     .type = SCHEMA_BOOL,
     .offset = offsetof(struct collector_config, allow_pause),
     .fallback = "false",
     .help = "lets a kind that stops or slows its target run, where a rule lists it by name"},
    {.name = NULL},
};

static const struct schema_option no_options[] = {{.name = NULL}};
static const struct schema_table no_options_table = {
    .name = "collector",
    .size = 1,
    .options = no_options,
};

static const struct schema_table *collector_variant(const char *kind)
{
    const struct collector *c = collector_find(kind);
    if (c == NULL) {
        return NULL;
    }
    return c->options == NULL ? &no_options_table : c->options;
}

static const char *const *collector_names(void)
{
    static const char *names[LIMIT_COLLECTORS + 1];
    for (size_t i = 0; i < LIMIT_COLLECTORS && collector_at(i) != NULL; i++) {
        names[i] = collector_at(i)->name;
    }
    return names;
}

const struct schema_table config_collector_table = {
    .name = "collector",
    .help = "what gathers one kind of evidence",
    .size = sizeof(struct collector_config),
    .options = collector_options,
    .variant = collector_variant,
    .variant_offset = offsetof(struct collector_config, options),
    .variant_names = collector_names,
};

static const struct schema_option limits_options[] = {
    {.name = "per_incident",
     .type = SCHEMA_INT,
     .offset = offsetof(struct config_limits, per_incident),
     .fallback = "3",
     .min = 1,
     .max = 100,
     .help = "captures of one incident"},
    {.name = "per_hour",
     .type = SCHEMA_INT,
     .offset = offsetof(struct config_limits, per_hour),
     .fallback = "4",
     .min = 1,
     .max = 1000,
     .help = "captures within an hour; one slot is kept for an incident three times worse"},
    {.name = "per_day",
     .type = SCHEMA_INT,
     .offset = offsetof(struct config_limits, per_day),
     .fallback = "12",
     .min = 1,
     .max = 10000,
     .help = "captures within 24 hours"},
    {.name = NULL},
};

static const struct schema_table limits_table = {
    .name = "limits",
    .help = "how many captures there may be",
    .size = sizeof(struct config_limits),
    .options = limits_options,
};

static const struct schema_option store_options[] = {
    {.name = "path",
     .type = SCHEMA_STRING,
     .offset = offsetof(struct config_store, path),
     .fallback = "/var/lib/incidentd",
     .check = check_path,
     .help = "directory of bundles, journal and staging"},
    {.name = "max_bytes",
     .type = SCHEMA_SIZE,
     .offset = offsetof(struct config_store, max_bytes),
     .fallback = "2GiB",
     .min = 1 << 20,
     .max = 1024.0 * 1024 * (1 << 30),
     .help = "size of all bundles; the oldest that is not pinned goes first"},
    {.name = "max_count",
     .type = SCHEMA_INT,
     .offset = offsetof(struct config_store, max_count),
     .fallback = "100",
     .min = 1,
     .max = 100000,
     .help = "number of bundles"},
    {.name = "max_age",
     .type = SCHEMA_DURATION,
     .offset = offsetof(struct config_store, max_age_ms),
     .fallback = "14d",
     .min = 1000,
     .max = 3650 * DAY_MS,
     .help = "age of bundles"},
    {.name = "min_free",
     .type = SCHEMA_PERCENT,
     .offset = offsetof(struct config_store, min_free),
     .fallback = "10%",
     .help = "share of the file system that stays free"},
    {.name = NULL},
};

static const struct schema_hint store_hints[] = {
    {"max_size", "write 'max_bytes'"},
    {"retention", "write 'max_age', 'max_bytes' or 'max_count'"},
    {"s3", "delivery to S3 is not supported yet"},
    {NULL, NULL},
};

static const struct schema_table store_table = {
    .name = "store",
    .help = "where bundles are kept, and for how long",
    .size = sizeof(struct config_store),
    .options = store_options,
    .hints = store_hints,
};

static const struct schema_option server_options[] = {
    {.name = "listen",
     .type = SCHEMA_STRING,
     .offset = offsetof(struct config_server, listen),
     .fallback = "127.0.0.1:9911",
     .help = "address and port of API and page; wider than loopback only with token_file"},
    {.name = "token_file",
     .type = SCHEMA_STRING,
     .offset = offsetof(struct config_server, token_file),
     .check = check_path,
     .help = "file with the token that clients must send"},
    {.name = "health_listen",
     .type = SCHEMA_STRING,
     .offset = offsetof(struct config_server, health_listen),
     .help = "address and port of a second listener that serves /-/healthy and /-/ready alone"},
    {.name = NULL},
};

static const struct schema_hint server_hints[] = {
    {"port", "write 'listen: 127.0.0.1:9911'"},
    {"address", "write 'listen'"},
    {"token", "a secret does not belong into this file: write 'token_file' with its path"},
    {"tls", "TLS is not supported yet: put a proxy before incidentd"},
    {NULL, NULL},
};

static const struct schema_table server_table = {
    .name = "server",
    .help = "where on-call fetches bundles",
    .size = sizeof(struct config_server),
    .options = server_options,
    .hints = server_hints,
};

static const char *const level_names[] = {"debug", "info", "warn", "error", NULL};
static const char *const format_names[] = {"logfmt", "json", NULL};

static const struct schema_option daemon_options[] = {
    {.name = "user",
     .type = SCHEMA_STRING,
     .offset = offsetof(struct config_process_options, user),
     .fallback = "incidentd",
     .check = check_name,
     .help = "account of the part with network, when started as root"},
    {.name = "work_user",
     .type = SCHEMA_STRING,
     .offset = offsetof(struct config_process_options, work_user),
     .fallback = "incidentd-work",
     .check = check_name,
     .help = "account of collectors and sealer, when started as root"},
    {.name = "log_level",
     .type = SCHEMA_ENUM,
     .offset = offsetof(struct config_process_options, log_level),
     .fallback = "info",
     .choices = level_names,
     .help = "the least that is logged"},
    {.name = "log_format",
     .type = SCHEMA_ENUM,
     .offset = offsetof(struct config_process_options, log_format),
     .fallback = "logfmt",
     .choices = format_names,
     .help = "how a line of the log looks"},
    {.name = "shutdown_timeout",
     .type = SCHEMA_DURATION,
     .offset = offsetof(struct config_process_options, shutdown_timeout_ms),
     .fallback = "20s",
     .min = 0,
     .max = HOUR_MS,
     .help = "time to seal what runs when incidentd is told to end"},
    {.name = NULL},
};

static const struct schema_table daemon_table = {
    .name = "process",
    .help = "incidentd itself",
    .size = sizeof(struct config_process_options),
    .options = daemon_options,
};

static const struct schema_option config_options[] = {
    {.name = "targets",
     .type = SCHEMA_MAP,
     .offset = offsetof(struct config, targets),
     .flags = SCHEMA_REQUIRED,
     .of = &target_table,
     .help = "what is watched, by name"},
    {.name = "rules",
     .type = SCHEMA_LIST,
     .offset = offsetof(struct config, rules),
     .of = &rule_table,
     .help = "conditions and what they fire"},
    {.name = "collectors",
     .type = SCHEMA_MAP,
     .offset = offsetof(struct config, collectors),
     .of = &config_collector_table,
     .help = "other settings than the collectors' own defaults, by name"},
    {.name = "limits",
     .type = SCHEMA_STRUCT,
     .offset = offsetof(struct config, limits),
     .of = &limits_table,
     .help = "how many captures there may be"},
    {.name = "store",
     .type = SCHEMA_STRUCT,
     .offset = offsetof(struct config, store),
     .of = &store_table,
     .help = "where bundles are kept, and for how long"},
    {.name = "server",
     .type = SCHEMA_STRUCT,
     .offset = offsetof(struct config, server),
     .of = &server_table,
     .help = "where on-call fetches bundles"},
    {.name = "process",
     .type = SCHEMA_STRUCT,
     .offset = offsetof(struct config, process),
     .of = &daemon_table,
     .help = "incidentd itself: accounts, log, shutdown"},
    {.name = NULL},
};

static const struct schema_hint config_hints[] = {
    {"deliver", "delivery is not supported yet: bundles are fetched from 'server'"},
    {"prometheus", "a Prometheus server as source is not supported yet: use 'metrics' of a target"},
    {"baseline", "baselines are not supported yet"},
    {"recorder", "recorders are not supported yet"},
    {"rule_files", "rule files are not supported yet: write the rules under 'rules'"},
    {"groups", "Prometheus' rule files are not supported yet: write 'rules' with 'slo'"},
    {"slo", "an 'slo' belongs into a rule: 'rules: [{name: ..., slo: {...}}]'"},
    {"service", "write 'targets: {NAME: {metrics: ...}}'"},
    {"scrape_configs", "write 'targets: {NAME: {metrics: URL}}'"},
    {"global", "there are no global settings: 'interval' stands in each target"},
    {"log", "write 'process: {log_level: ..., log_format: ...}'"},
    {"log_level", "write 'process: {log_level: ...}'"},
    {NULL, NULL},
};

const struct schema_table config_table = {
    .name = "configuration",
    .help = "the whole file",
    .size = sizeof(struct config),
    .options = config_options,
    .hints = config_hints,
};

const struct config_target *config_target_at(const struct config *c, size_t i)
{
    return i < c->targets.count ? (const struct config_target *)c->targets.items + i : NULL;
}

const struct config_rule *config_rule_at(const struct config *c, size_t i)
{
    return i < c->rules.count ? (const struct config_rule *)c->rules.items + i : NULL;
}

const struct collector_config *config_collector_at(const struct config *c, size_t i)
{
    return i < c->collectors.count ? (const struct collector_config *)c->collectors.items + i
                                   : NULL;
}

int config_target_find(const struct config *c, const char *name)
{
    for (size_t i = 0; i < c->targets.count; i++) {
        const char *known = config_target_at(c, i)->name;
        if (known != NULL && strcmp(known, name) == 0) {
            return (int)i;
        }
    }
    return -1;
}

int config_collector_find(const struct config *c, const char *name)
{
    for (size_t i = 0; i < c->collectors.count; i++) {
        const char *known = config_collector_at(c, i)->name;
        if (known != NULL && strcmp(known, name) == 0) {
            return (int)i;
        }
    }
    return -1;
}

enum watch_kind config_rule_kind(const struct config_rule *rule)
{
    static const struct {
        const char *name;
        enum watch_kind kind;
    } builtin[] = {
        {"source_down", WATCH_SOURCE_DOWN},
        {"target_exited", WATCH_TARGET_EXITED},
        {"traffic_lost", WATCH_TRAFFIC_LOST},
    };
    for (size_t i = 0; i < ARRAY_LEN(builtin); i++) {
        if (rule->name != NULL && strcmp(builtin[i].name, rule->name) == 0) {
            return builtin[i].kind;
        }
    }
    return WATCH_SLO;
}
