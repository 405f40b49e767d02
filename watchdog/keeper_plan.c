/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keeper_plan.c: incidentd opens the file and a memfd, incidentd-config turns one into the other
 * without any privilege, incidentd seals and checks the result. A bad file changes nothing while an
 * older plan stands.
 */
#include "watchdog/keeper.h"

#include "base/clock.h"
#include "base/log.h"
#include "watchdog/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { CONFIG_TIMEOUT_MS = 10000, CONFIG_MEMORY_BYTES = 256 << 20 };

/* A configuration names what runs and whom it looks at: with privileges, only their owner may write
 * it. */
static int check_writers(const char *path, const struct stat *st, struct error *err)
{
    bool raised = getauxval(AT_SECURE) != 0;
    if (!raised && geteuid() != 0) {
        return 0;
    }
    if ((st->st_mode & S_IWOTH) != 0 || (raised && (st->st_mode & S_IWGRP) != 0)) {
        (void)error_set(err, -EPERM, "refused: others may write the configuration");
        (void)error_remedy(err, "chmod go-w '%s'", path);
        return error_at(err, path, 0, 0);
    }
    if (raised && st->st_uid != 0) {
        (void)error_set(err, -EPERM,
                        "refused: incidentd has file capabilities and the configuration "
                        "does not belong to root");
        (void)error_remedy(err, "chown root '%s'", path);
        return error_at(err, path, 0, 0);
    }
    return 0;
}

static int open_config(const char *path, struct error *err)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat st = {0};
    if (fd < 0 || fstat(fd, &st) < 0) {
        int code = -errno;
        (void)error_errno(err, code, "cannot open the configuration");
        return error_at(err, path, 0, 0);
    }
    if (!S_ISREG(st.st_mode)) {
        (void)error_set(err, -EINVAL, "the configuration is not a regular file");
        return error_at(err, path, 0, 0);
    }
    int rc = check_writers(path, &st, err);
    return rc < 0 ? rc : take_fd(&fd);
}

static bool is_loading(const struct keeper *k)
{
    bool loading = false;
    for (size_t i = 0; i < KEEPER_JOBS_MAX; i++) {
        loading = loading || (k->jobs[i].child.pid > 0 && k->jobs[i].request.type == WIRE_RELOAD);
    }
    return loading;
}

int keeper_plan_load(struct keeper *k, const struct wire_message *asked, struct error *err)
{
    AUTO_CLOSE int config_fd = open_config(k->config_path, err);
    if (config_fd < 0) {
        return config_fd;
    }
    AUTO_CLOSE int plan_fd = memfd_create("incidentd-plan", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    struct keeper_job *job = keeper_job_new(k);
    if (plan_fd < 0 || job == NULL) {
        return error_set(err, -EMFILE, "no room to load the configuration");
    }
    struct account nobody;
    (void)accounts_find("nobody", &nobody, NULL);
    char path[PLAN_PATH_BYTES + 32];
    (void)snprintf(path, sizeof(path), "%s/incidentd-config", k->programs);
    const char *const argv[] = {"incidentd-config", k->config_path, NULL};
    struct child_spec spec;
    child_spec_init(&spec);
    spec.path = path;
    spec.argv = argv;
    spec.fds[1] = spec.fds[2] = STDERR_FILENO;
    spec.fds[3] = config_fd;
    spec.fds[4] = plan_fd;
    spec.fd_count = 5;
    spec.uid = nobody.uid;
    spec.gid = nobody.gid;
    spec.max_memory_bytes = CONFIG_MEMORY_BYTES;
    job->request = asked != NULL ? *asked : (struct wire_message){.type = WIRE_RELOAD};
    job->orphan = asked == NULL;
    job->plan_fd = take_fd(&plan_fd);
    return keeper_job_start(k, job, &spec, CONFIG_TIMEOUT_MS, err);
}

int keeper_plan_reload(struct keeper *k, const struct wire_message *asked, struct error *err)
{
    if (is_loading(k)) {
        k->load_again = k->load_again || asked == NULL;
        return asked == NULL ? 0
                             : error_set(err, -EBUSY, "the configuration is being loaded already");
    }
    notify_reloading();
    int rc = keeper_plan_load(k, asked, err);
    if (rc < 0) {
        log_err(LOG_LEVEL_ERROR, err, "reload refused, the old configuration stays");
        notify_send("READY=1\nSTATUS=reload refused, the old configuration stays");
    }
    return rc;
}

static struct keeper_plan *free_slot(struct keeper *k)
{
    keeper_plan_prune(k);
    for (size_t i = 0; i < KEEPER_PLANS_MAX; i++) {
        if (k->plans[i].fd < 0) {
            return &k->plans[i];
        }
    }
    return NULL;
}

/* What cannot change under a running daemon. */
static int check_same_place(const struct keeper *k, const struct plan_head *head, struct error *err)
{
    const struct keeper_plan *now = keeper_plan_of(k, k->generation);
    if (now == NULL) {
        return 0;
    }
    if (strcmp(now->plan.head->store_path, head->store_path) != 0 ||
        strcmp(now->plan.head->user, head->user) != 0 ||
        strcmp(now->plan.head->work_user, head->work_user) != 0) {
        (void)error_set(err, -EINVAL, "store.path and the accounts cannot change by reload");
        return error_remedy(err, "restart incidentd");
    }
    return 0;
}

static int adopt(struct keeper *k, int plan_fd, struct error *err)
{
    if (fcntl(plan_fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0) {
        int code = -errno;
        return error_errno(err, code, "cannot seal the plan");
    }
    struct keeper_plan *slot = free_slot(k);
    if (slot == NULL) {
        (void)error_set(err, -EBUSY, "captures still run under %d older configurations",
                        KEEPER_PLANS_MAX - 1);
        return error_remedy(err, "reload again when they are sealed");
    }
    struct plan plan;
    int rc = plan_map(plan_fd, &plan, err);
    if (rc == 0 && (rc = check_same_place(k, plan.head, err)) < 0) {
        plan_unmap(&plan);
    }
    if (rc < 0) {
        return rc;
    }
    slot->plan = plan;
    slot->fd = fcntl(plan_fd, F_DUPFD_CLOEXEC, 0);
    slot->generation = ++k->loaded;
    k->generation = slot->generation;
    log_set((enum log_level)plan.head->log_level, (enum log_format)plan.head->log_format);
    return 0;
}

/* The store and the accounts of the first plan. */
static int settle(struct keeper *k, struct error *err)
{
    const struct plan_head *head = keeper_plan_of(k, k->generation)->plan.head;
    int rc = accounts_find(head->user, &k->brain_account, err);
    if (rc == 0) {
        rc = accounts_find(head->work_user, &k->work_account, err);
    }
    return rc < 0 ? rc
                  : staging_open(head->store_path, &k->brain_account, &k->work_account, &k->staging,
                                 err);
}

static void refuse(struct keeper *k, const struct keeper_job *job, const struct error *err)
{
    struct wire_message m = {.type = WIRE_RELOAD_FAILED};
    char text[sizeof(m.text)];
    (void)error_text(err, text, sizeof(text));
    memcpy(m.text, text, sizeof(m.text));
    if (k->generation == 0 || k->staging.fd < 0) {
        log_error("cannot start: %s", text);
        k->done = true;
        k->exit_status = 1;
        return;
    }
    log_error("reload refused, the old configuration stays: %s", text);
    notify_send("READY=1\nSTATUS=reload refused, the old configuration stays");
    keeper_send(k, &m, NULL, 0);
    if (!job->orphan) {
        keeper_answer(k, &job->request, err->code, err);
    }
}

void keeper_plan_revert(struct keeper *k, const struct wire_message *m)
{
    char why[sizeof(m->text)];
    (void)snprintf(why, sizeof(why), "%s", m->text);
    log_error("reload refused by the brain, the old configuration stays: %s", why);
    if (m->generation != 0 && keeper_plan_of(k, m->generation) != NULL) {
        k->generation = m->generation;
    }
    notify_send("STATUS=reload refused, the old configuration stays");
    keeper_plan_prune(k);
}

/* incidentd-config leaves its first problem where the plan would have been. */
static int read_problem(const struct keeper *k, int plan_fd, struct error *err)
{
    char text[sizeof(err->message)];
    ssize_t n = pread(plan_fd, text, sizeof(text) - 1, 0);
    text[n < 0 ? 0 : n] = '\0';
    for (char *p = text; *p != '\0'; p++) {
        if ((unsigned char)*p < ' ') {
            *p = ' ';
        }
    }
    if (text[0] != '\0') {
        return error_set(err, -EINVAL, "%s", text);
    }
    (void)error_set(err, -EINVAL, "the configuration has errors, see above");
    return error_at(err, k->config_path, 0, 0);
}

static void take_loaded(struct keeper *k, const struct keeper_job *job, int status)
{
    struct error err = ERROR_INIT;
    bool first = k->generation == 0;
    int rc = 0;
    if (!WIFEXITED(status)) {
        char text[64];
        rc = error_set(&err, -EIO, "incidentd-config was %s",
                       child_status_text(status, text, sizeof(text)));
    } else if (WEXITSTATUS(status) != 0) {
        rc = read_problem(k, job->plan_fd, &err);
    } else {
        rc = adopt(k, job->plan_fd, &err);
    }
    if (rc == 0 && first) {
        rc = settle(k, &err);
    }
    if (rc < 0) {
        refuse(k, job, &err);
        return;
    }
    log_info("configuration '%s' loaded as generation %u", k->config_path, k->generation);
    if (first) {
        k->brain_start_ms = clock_mono_ms();
    } else {
        keeper_plan_send(k);
        notify_send("READY=1");
        if (!job->orphan) {
            struct wire_message m = job->request;
            m.generation = k->generation;
            keeper_answer(k, &m, 0, NULL);
        }
    }
}

void keeper_plan_loaded(struct keeper *k, const struct keeper_job *job, int status)
{
    struct error err = ERROR_INIT;
    take_loaded(k, job, status);
    if (k->load_again && !k->done && !k->stopping) {
        k->load_again = false;
        (void)keeper_plan_reload(k, NULL, &err);
    }
}

void keeper_plan_send(struct keeper *k)
{
    const struct keeper_plan *now = keeper_plan_of(k, k->generation);
    if (now == NULL) {
        return;
    }
    const struct plan_head *head = now->plan.head;
    struct wire_message m = {.type = WIRE_PLAN, .generation = now->generation};
    int fds[WIRE_FDS_MAX] = {now->fd};
    size_t count = 1;
    for (uint32_t i = 0; i < head->secret_count; i++) {
        const char *path = head->secrets[i].path;
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        if (fd < 0) {
            log_error("cannot open secret '%s': %s, going on without it", path,
                      strerrordesc_np(errno));
            continue;
        }
        m.ready |= 1U << i;
        fds[count++] = fd;
    }
    keeper_send(k, &m, fds, count);
    for (size_t i = 1; i < count; i++) {
        (void)close(fds[i]);
    }
}

const struct keeper_plan *keeper_plan_of(const struct keeper *k, uint32_t generation)
{
    for (size_t i = 0; i < KEEPER_PLANS_MAX; i++) {
        if (k->plans[i].fd >= 0 && k->plans[i].generation == generation) {
            return &k->plans[i];
        }
    }
    return NULL;
}

static bool plan_used(const struct keeper *k, uint32_t generation)
{
    bool used = generation == k->generation || generation == k->brain_generation;
    for (size_t i = 0; i < KEEPER_CAPTURES_MAX; i++) {
        used = used || (k->captures[i].id[0] != '\0' && k->captures[i].generation == generation);
    }
    for (size_t i = 0; i < KEEPER_JOBS_MAX; i++) {
        used = used || (k->jobs[i].child.pid > 0 && k->jobs[i].request.generation == generation);
    }
    return used;
}

void keeper_plan_prune(struct keeper *k)
{
    for (size_t i = 0; i < KEEPER_PLANS_MAX; i++) {
        if (k->plans[i].fd >= 0 && !plan_used(k, k->plans[i].generation)) {
            plan_unmap(&k->plans[i].plan);
            (void)close(take_fd(&k->plans[i].fd));
        }
    }
}
