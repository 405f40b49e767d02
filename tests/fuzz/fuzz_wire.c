/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A brain that has gone bad: whatever it sends, incidentd starts only what the plan names, with
 * descriptors that are open, writes nowhere but in staging, and keeps no descriptor.
 *
 * The input is a list of requests, in the form that read_request() explains, or raw packets. They
 * go over a socket into the real dispatcher; child_start is replaced (by the linker, see
 * tests/CMakeLists.txt) by a check of what would be started.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "base/fs.h"
#include "base/log.h"
#include "watchdog/config.h"
#include "watchdog/keeper.h"
#include "watchdog/plan_build.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int __wrap_child_start(const struct child_spec *spec, struct child *ret, struct error *err);

enum { REQUESTS_MAX = 64, FOUND_PID = 7 };

static const char yaml[] =
    "targets:\n"
    "  a: {metrics: 'http://h/m', process: {port: 80}, logs: [/l]}\n"
    "  b: {metrics: 'http://h/m', process: {pid: 1}}\n"
    "rules: [{name: r, target: a, slo: {objective: 0.9, good: 'x{c=\"1\"}', total: x}}]\n"
    "collectors: {mine: {type: exec, argv: [/bin/true, x]}}\n";

static char store[64];
static int good_plan = -1;
static struct keeper k;

static bool is_plan(int fd)
{
    for (size_t i = 0; i < KEEPER_PLANS_MAX; i++) {
        if (k.plans[i].fd >= 0 && k.plans[i].fd == fd) {
            return true;
        }
    }
    return false;
}

static bool is_capture(int fd)
{
    for (size_t i = 0; i < KEEPER_CAPTURES_MAX; i++) {
        if (k.captures[i].id[0] != '\0' && k.captures[i].dir_fd == fd) {
            return true;
        }
    }
    return false;
}

static bool descriptors_open(const struct child_spec *spec)
{
    for (size_t i = 0; i < spec->fd_count; i++) {
        if (spec->fds[i] >= 0 && fcntl(spec->fds[i], F_GETFD) < 0) {
            return false;
        }
    }
    return true;
}

/* Is it one of the programs, on what it may have? */
static bool may_start(const struct child_spec *spec)
{
    const char *const *argv = spec->argv;
    char path[PLAN_PATH_BYTES + 32];
    (void)snprintf(path, sizeof(path), "%s/%s", k.programs, argv[0]);
    if (strcmp(path, spec->path) != 0 || !descriptors_open(spec)) {
        return false;
    }
    if (strcmp(argv[0], "incidentd-collect") == 0) {
        bool finds = strcmp(argv[1], "find") == 0;
        return is_plan(spec->fds[3]) && (finds ? spec->fds[4] < 0 : is_capture(spec->fds[4]));
    }
    if (strcmp(argv[0], "incidentd-sealer") == 0) {
        return strcmp(argv[1], "extract") == 0 ||
               (is_capture(spec->fds[3]) && fs_name_ok(argv[2], LIMIT_ID_BYTES));
    }
    return strcmp(argv[0], "incidentd-config") == 0;
}

/* What would be started. */
int __wrap_child_start(const struct child_spec *spec, struct child *ret, struct error *err)
{
    if (!may_start(spec)) {
        abort();
    }
    ret->pid = 1;
    ret->pidfd = eventfd(0, EFD_CLOEXEC);
    return ret->pidfd < 0 ? error_set(err, -EMFILE, "no descriptor") : 0;
}

static void remove_store(void)
{
    static const char *const names[] = {"bundles", "journal", "staging"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        (void)unlinkat(k.staging.store_fd, names[i], AT_REMOVEDIR);
    }
    (void)unlinkat(k.staging.store_fd, "lock", 0);
    (void)rmdir(store);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct arena arena = ARENA_INIT(16 << 20);
    struct config config;
    AUTO_BUF struct buf plan = BUF_INIT(LIMIT_PLAN_BYTES);
    struct schema_doc *doc = schema_doc_new("seed", yaml, sizeof(yaml) - 1);
    const struct account keep = {.uid = (uid_t)-1, .gid = (gid_t)-1};
    const char *place = getenv("TMPDIR");
    (void)argc;
    (void)argv;
    (void)snprintf(store, sizeof(store), "%.40s/fuzz_wire-XXXXXX", place != NULL ? place : "/tmp");
    if (config_load(doc, &arena, &config) < 0 || plan_build(&config, &plan, NULL) < 0 ||
        mkdtemp(store) == NULL || staging_open(store, &keep, &keep, &k.staging, NULL) < 0) {
        abort();
    }
    schema_doc_free(doc);
    arena_release(&arena);
    good_plan = fs_sealed_memfd("plan", plan.data, plan.len, NULL);
    k.config_path = "/dev/null";
    k.brain = (struct child)CHILD_INIT;
    k.work_account = keep;
    k.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    (void)snprintf(k.programs, sizeof(k.programs), "/programs");
    log_open("fuzz", LOG_LEVEL_ERROR, LOG_FORMAT_LOGFMT);
    (void)atexit(remove_store);
    return 0;
}

/* Plan 2 is current, 1 is the one the brain runs; a process was found for target 0. */
static void set_up(int brain_fd)
{
    for (size_t i = 0; i < KEEPER_PLANS_MAX; i++) {
        k.plans[i].fd = -1;
    }
    for (uint32_t i = 0; i < 2; i++) {
        if (plan_map(good_plan, &k.plans[i].plan, NULL) < 0) {
            abort();
        }
        k.plans[i].fd = fcntl(good_plan, F_DUPFD_CLOEXEC, 0);
        k.plans[i].generation = i + 1;
    }
    k.generation = k.loaded = 2;
    k.brain_generation = 1;
    k.brain_fd = brain_fd;
    const struct wire_message found = {
        .type = WIRE_FIND, .generation = 2, .pid = FOUND_PID, .start_ticks = FOUND_PID};
    keeper_found_note(&k, &found);
}

static void tear_down(void)
{
    char id[LIMIT_ID_BYTES + 1];
    for (size_t i = 0; i < KEEPER_JOBS_MAX; i++) {
        int *const fds[] = {&k.jobs[i].socket, &k.jobs[i].plan_fd, &k.jobs[i].child.pidfd};
        for (size_t f = 0; f < ARRAY_LEN(fds) && k.jobs[i].child.pid != 0; f++) {
            if (*fds[f] >= 0) {
                (void)close(take_fd(fds[f]));
            }
        }
        k.jobs[i].child.pid = 0;
    }
    for (size_t i = 0; i < KEEPER_CAPTURES_MAX; i++) {
        if (k.captures[i].id[0] != '\0') {
            (void)close(take_fd(&k.captures[i].dir_fd));
            k.captures[i].id[0] = '\0';
        }
    }
    for (size_t i = 0; i < KEEPER_PLANS_MAX; i++) {
        if (k.plans[i].fd >= 0) {
            (void)close(take_fd(&k.plans[i].fd));
            plan_unmap(&k.plans[i].plan);
        }
    }
    memset(k.found, 0, sizeof(k.found));
    while (staging_at(&k.staging, 0, id, sizeof(id)) == 0 &&
           staging_discard(&k.staging, id, NULL) == 0) {
    }
}

static size_t entries(int dir_fd, const char *name)
{
    int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    AUTO_DIR DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    size_t count = 0;
    while (dir != NULL && readdir(dir) != NULL) {
        count++;
    }
    return count;
}

struct input {
    const uint8_t *at;
    size_t left;
};

static uint8_t take(struct input *in)
{
    if (in->left == 0) {
        return 0;
    }
    in->left--;
    return *in->at++;
}

/* A byte chooses one of the names, or says that the text follows: its length, its bytes. */
static void take_name(struct input *in, char *out, size_t size)
{
    static const char *const names[] = {"a_r_20261124T083112.345Z_i_0001",
                                        "a_r_20261124T083112.345Z_i_0002",
                                        "base.json",
                                        "..",
                                        "../bundles/x",
                                        "/etc/passwd",
                                        "a/b",
                                        ""};
    uint8_t choice = take(in);
    if (choice < 0xf0) {
        (void)snprintf(out, size, "%s", names[choice % ARRAY_LEN(names)]);
        return;
    }
    size_t len = take(in);
    len = len < in->left ? len : in->left;
    len = len < size ? len : size;
    memcpy(out, in->at, len);
    in->at += len;
    in->left -= len;
}

/* type, generation, target, collector, phase, pid, id, descriptors, capture's name, name. */
static void read_request(struct input *in, struct wire_message *m)
{
    static const uint32_t generations[] = {2, 1, 3, UINT32_MAX};
    m->type = take(in) % (WIRE_ALIVE + 2U);
    m->generation = generations[take(in) % ARRAY_LEN(generations)];
    uint8_t target = take(in);
    m->target = target == 0xff ? UINT32_MAX : target;
    uint8_t collector = take(in);
    m->collector = collector == 0xff ? UINT32_MAX : collector;
    uint8_t phase = take(in);
    m->phase = phase == 0xff ? UINT32_MAX : phase;
    uint8_t pid = take(in);
    m->pid = pid == 0xff ? -1 : pid;
    m->start_ticks = pid;
    m->id = m->run_id = take(in);
    m->index = m->run = m->ready = (uint32_t)m->id;
    take_name(in, m->capture, sizeof(m->capture));
    take_name(in, m->name, sizeof(m->name));
    memcpy(m->text, m->name, sizeof(m->name));
}

/* Sends one request with up to three descriptors of a kind each. */
static void send_request(struct input *in, int fd)
{
    struct wire_message m = {0};
    uint8_t kinds = take(in);
    if (kinds == 0xff) {
        size_t len = in->left < 2000 ? in->left : 2000;
        (void)!send(fd, in->at, len, MSG_DONTWAIT | MSG_NOSIGNAL);
        in->left = 0;
        return;
    }
    read_request(in, &m);
    int fds[3];
    size_t count = kinds & 3;
    for (size_t i = 0; i < count; i++) {
        switch (kinds >> (2 + 2 * i) & 3) {
        case 0:
            fds[i] = fs_sealed_memfd("text", "{}", 2, NULL);
            break;
        case 1:
            fds[i] = memfd_create("open", MFD_CLOEXEC);
            break;
        case 2:
            fds[i] = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
            break;
        default:
            fds[i] = eventfd(0, EFD_CLOEXEC);
            break;
        }
    }
    (void)wire_send(fd, &m, fds, count, NULL);
    for (size_t i = 0; i < count; i++) {
        (void)close(fds[i]);
    }
}

static void drain(int fd)
{
    struct wire_message m;
    int fds[WIRE_FDS_MAX];
    size_t count = 0;
    while (wire_receive(fd, &m, fds, &count, NULL) == 1) {
        if (m.reply == 0 && m.type != WIRE_RELOAD_FAILED && m.type != WIRE_PLAN) {
            abort();
        }
        for (size_t i = 0; i < count; i++) {
            (void)close(fds[i]);
        }
    }
}

static int lowest_free(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    (void)close(fd);
    return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    int free_before = lowest_free();
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
        abort();
    }
    set_up(pair[0]);
    for (int i = 0; i < REQUESTS_MAX && in.left > 0 && k.brain_fd >= 0; i++) {
        send_request(&in, pair[1]);
        keeper_requests_serve(&k);
        drain(pair[1]);
    }
    (void)close(pair[1]);
    keeper_requests_serve(&k);
    tear_down();
    if (lowest_free() != free_before || k.brain_fd >= 0 || entries(k.staging.store_fd, ".") != 6 ||
        entries(k.staging.store_fd, "bundles") != 2 ||
        entries(k.staging.store_fd, "journal") != 2) {
        abort();
    }
    return 0;
}
