/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reading side of the plan: what incidentd, which holds the privileges, believes of it.
 *
 * The bytes come from a process that has parsed hostile text, so nothing is used before it is
 * checked: sizes, counts, that every text ends inside its field, that names can be file names and
 * paths are absolute, that numbers are in range. The memfd must be sealed: what was checked cannot
 * change afterwards, and the mapping cannot be cut under its readers.
 */
#include "watchdog/plan.h"

#include "base/fs.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum { DEADLINE_MAX_MS = 3600 * 1000 };

static uint32_t hash_add(uint32_t hash, const void *data, size_t len)
{
    const unsigned char *p = data;
    for (size_t i = 0; i < len; i++) { /* FNV-1a: it tells builds apart, it protects nothing */
        hash = (hash ^ p[i]) * 16777619U;
    }
    return hash;
}

uint32_t plan_abi(void)
{
    static const size_t sizes[] = {
        sizeof(struct plan_head),
        sizeof(struct plan_target),
        sizeof(struct plan_collector),
        sizeof(struct plan_secret),
        offsetof(struct plan_head, config_len),
        offsetof(struct plan_head, targets),
        offsetof(struct plan_head, collectors),
        offsetof(struct plan_head, secrets),
        sizeof(void *),
    };
    static const uint32_t order = 0x01020304;
    uint32_t hash = hash_add(2166136261U, sizes, sizeof(sizes));
    hash = hash_add(hash, &order, sizeof(order));
    return hash_add(hash, INCIDENTD_VERSION, sizeof(INCIDENTD_VERSION));
}

static bool is_text(const char *field, size_t size)
{
    return memchr(field, '\0', size) != NULL;
}

static bool is_name(const char *field, size_t size)
{
    return is_text(field, size) && fs_name_ok(field, LIMIT_NAME_BYTES);
}

static bool is_path(const char *field)
{
    return is_text(field, PLAN_PATH_BYTES) && field[0] == '/';
}

static bool is_collector_sane(const struct plan_collector *c)
{
    return is_name(c->name, sizeof(c->name)) && c->deadline_ms > 0 &&
           c->deadline_ms <= DEADLINE_MAX_MS && c->max_bytes > 0 && c->pausing <= 1;
}

static const char *check_records(const struct plan_head *h)
{
    for (uint32_t i = 0; i < h->target_count; i++) {
        if (!is_name(h->targets[i].name, sizeof(h->targets[i].name))) {
            return "a target's name is damaged";
        }
    }
    for (uint32_t i = 0; i < h->collector_count; i++) {
        if (!is_collector_sane(&h->collectors[i])) {
            return "a collector is damaged";
        }
    }
    for (uint32_t i = 0; i < h->secret_count; i++) {
        if (!is_path(h->secrets[i].path)) {
            return "a secret's path is damaged";
        }
    }
    return NULL;
}

static bool are_numbers_sane(const struct plan_head *h)
{
    return h->shutdown_timeout_ms >= 0 && h->shutdown_timeout_ms <= DEADLINE_MAX_MS &&
           h->log_level >= LOG_LEVEL_DEBUG && h->log_level <= LOG_LEVEL_ERROR &&
           h->log_format >= LOG_FORMAT_LOGFMT && h->log_format <= LOG_FORMAT_JSON;
}

/* What is wrong with the plan, or NULL. */
static const char *check_head(const struct plan_head *h, size_t size)
{
    if (memcmp(h->magic, PLAN_MAGIC, sizeof(h->magic)) != 0) {
        return "it is not a plan";
    }
    if (h->abi != plan_abi()) {
        return "it was written by another build";
    }
    if (h->target_count > LIMIT_TARGETS || h->collector_count > LIMIT_COLLECTORS ||
        h->secret_count > LIMIT_SECRETS || h->config_len != size - sizeof(*h)) {
        return "its counts do not fit its size";
    }
    if (!is_path(h->store_path) || !is_name(h->user, sizeof(h->user)) ||
        !is_name(h->work_user, sizeof(h->work_user))) {
        return "a path or an account is damaged";
    }
    if (!are_numbers_sane(h)) {
        return "a number is out of range";
    }
    return check_records(h);
}

int plan_map(int fd, struct plan *ret, struct error *err)
{
    struct stat st = {0};
    int seals = fcntl(fd, F_GET_SEALS);
    if (fstat(fd, &st) < 0) {
        int code = -errno;
        return error_errno(err, code, "cannot read the plan");
    }
    if (seals < 0 || (seals & (F_SEAL_WRITE | F_SEAL_SHRINK)) != (F_SEAL_WRITE | F_SEAL_SHRINK)) {
        return error_set(err, -EPROTO, "refused a plan: it is not sealed");
    }
    if (st.st_size < (off_t)sizeof(struct plan_head) || st.st_size > LIMIT_PLAN_BYTES) {
        return error_set(err, -EPROTO, "refused a plan: its size of %lld bytes is out of range",
                         (long long)st.st_size);
    }
    size_t size = (size_t)st.st_size;
    void *map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) {
        int code = -errno;
        return error_errno(err, code, "cannot map the plan");
    }
    const char *wrong = check_head(map, size);
    if (wrong != NULL) {
        (void)munmap(map, size);
        return error_set(err, -EPROTO, "refused a plan: %s", wrong);
    }
    *ret = (struct plan){
        .head = map,
        .config = (const unsigned char *)map + sizeof(struct plan_head),
        .size = size,
    };
    return 0;
}

void plan_unmap(struct plan *p)
{
    if (p->head != NULL) {
        (void)munmap((void *)(uintptr_t)p->head, p->size);
    }
    *p = (struct plan){.head = NULL};
}
