/* SPDX-License-Identifier: Apache-2.0 */
#include "watchdog/collect_copy.h"

#include "base/clock.h"
#include "base/fs.h"
#include "watchdog/child.h"
#include "watchdog/collect_file.h"
#include "watchdog/collect_tail.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

enum copy_kind {
    KIND_FILE = 'f',
    KIND_LISTING = 'l',
    KIND_NAMES = 'n',
    KIND_THREADS = 't',
    KIND_TAIL = 'a'
};

enum { TAIL_MAX_BYTES = 16 << 20, ENVIRON_MAX_BYTES = 1 << 20, CHUNK_BYTES = 64 << 10 };

/* ---- the parent's side ---- */

size_t collect_copy_count(const struct collector_step *step)
{
    return step->kind == STEP_TAIL ? 1 : step->copy_count;
}

const char *collect_copy_output(const struct collector_step *step, size_t index)
{
    return step->kind == STEP_TAIL ? step->output : step->copies[index].output;
}

static void add_field(struct buf *out, const char *text)
{
    (void)buf_add(out, text, strlen(text) + 1);
}

static void add_item(struct buf *out, enum copy_kind kind, const char *source, const char *output,
                     int64_t age_ms)
{
    char text[32];
    (void)snprintf(text, sizeof(text), "%c", (char)kind);
    add_field(out, text);
    add_field(out, source);
    add_field(out, output);
    (void)snprintf(text, sizeof(text), "%lld", (long long)age_ms);
    add_field(out, text);
}

void collect_copy_list(const struct collector_step *step, struct buf *out)
{
    if (step->kind == STEP_TAIL) {
        add_item(out, KIND_TAIL, step->path, step->output, step->age_ms);
        return;
    }
    for (size_t i = 0; i < step->copy_count; i++) {
        const struct collector_copy *c = &step->copies[i];
        enum copy_kind kind = c->per_thread ? KIND_THREADS
                              : c->listing  ? KIND_LISTING
                              : c->names    ? KIND_NAMES
                                            : KIND_FILE;
        add_item(out, kind, c->source, c->output, 0);
    }
}

/* The six numbers a line begins with; *ret_rest is what follows them. */
static bool parse_answer(const char *line, long long ret[6], const char **ret_rest)
{
    for (size_t i = 0; i < 6; i++) {
        char *end = NULL;
        ret[i] = strtoll(line, &end, 10);
        if (end == line || *end != ' ') {
            return false;
        }
        line = end + 1;
    }
    *ret_rest = line;
    return true;
}

void collect_copy_answers(const char *text, struct collect_copy_result *results, size_t count)
{
    const char *feed = NULL;
    for (const char *line = text; (feed = strchr(line, '\n')) != NULL; line = feed + 1) {
        long long n[6];
        const char *rest = NULL;
        if (!parse_answer(line, n, &rest) || rest > feed || n[0] < 0 || (size_t)n[0] >= count) {
            continue;
        }
        struct collect_copy_result *r = &results[n[0]];
        *r = (struct collect_copy_result){.done = true,
                                          .code = (int)n[1],
                                          .truncated = n[2] != 0,
                                          .bytes = n[3],
                                          .started_ms = n[4],
                                          .ended_ms = n[5]};
        (void)snprintf(r->note, sizeof(r->note), "%.*s", (int)(feed - rest), rest);
    }
}

/* ---- the worker's side ---- */

struct worker {
    pid_t pid;
    int pid_fd; /* /proc/PID, checked to be the right process; -1: none */
    int64_t max_bytes;
};

/* One file being copied. */
struct copying {
    const struct worker *worker;
    const char *output;
    int out_fd; /* -1 until the first byte may come */
    struct collect_copy_result result;
};

static int begin_output(struct copying *c)
{
    if (c->out_fd < 0) {
        c->out_fd = collect_file_create(COLLECT_COPY_FOLDER_FD, c->output, NULL);
    }
    return c->out_fd < 0 ? c->out_fd : 0;
}

/* Writes what still fits; false when nothing more may come. */
static bool put(struct copying *c, const char *data, size_t len)
{
    int64_t left = c->worker->max_bytes - c->result.bytes;
    size_t fits = (int64_t)len > left ? (size_t)left : len;
    c->result.code = begin_output(c);
    if (c->result.code == 0) {
        c->result.code = fs_write_all(c->out_fd, data, fits, NULL);
    }
    c->result.bytes += c->result.code == 0 ? (int64_t)fits : 0;
    c->result.truncated = c->result.truncated || fits < len;
    return c->result.code == 0 && !c->result.truncated;
}

/* `source` below /proc/PID is opened relative to the checked descriptor. */
static int open_source(const struct worker *w, const char *source, int flags)
{
    char prefix[32];
    int n = snprintf(prefix, sizeof(prefix), "/proc/%d/", (int)w->pid);
    bool own = w->pid > 0 && strncmp(source, prefix, (size_t)n) == 0;
    if (own && w->pid_fd < 0) {
        return -ESRCH;
    }
    int fd = own ? openat(w->pid_fd, source + n, flags | O_RDONLY | O_CLOEXEC | O_NONBLOCK)
                 : open(source, flags | O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    return fd < 0 ? -errno : fd;
}

/* All of `fd`; 0 or a negative errno of the reading side. */
static int copy_fd(struct copying *c, int fd)
{
    static char chunk[CHUNK_BYTES];
    for (;;) {
        ssize_t n = read(fd, chunk, sizeof(chunk));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n < 0 ? -errno : 0;
        }
        if (!put(c, chunk, (size_t)n)) {
            return c->result.code;
        }
    }
}

static int copy_file(struct copying *c, const char *source)
{
    AUTO_CLOSE int fd = open_source(c->worker, source, 0);
    if (fd < 0) {
        return fd;
    }
    int rc = copy_fd(c, fd);
    return rc == 0 ? begin_output(c) : rc;
}

static int copy_listing(struct copying *c, const char *source)
{
    int fd = open_source(c->worker, source, O_DIRECTORY);
    AUTO_DIR DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL) {
        return fd < 0 ? fd : -ENOMEM;
    }
    for (const struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        char to[1024];
        char line[1400];
        ssize_t n = readlinkat(dirfd(dir), e->d_name, to, sizeof(to));
        if (n < 0) {
            continue;
        }
        int len = snprintf(line, sizeof(line), "%s -> %.*s\n", e->d_name, (int)n, to);
        if (!put(c, line, (size_t)len)) {
            return c->result.code;
        }
    }
    return begin_output(c);
}

/* True for what an environment variable may be called; fragments of an overwritten area are not. */
static bool is_variable(const char *name, size_t len)
{
    bool fine = len > 0 && len < 256 && isdigit((unsigned char)name[0]) == 0;
    for (size_t i = 0; i < len && fine; i++) {
        fine = isalnum((unsigned char)name[i]) != 0 || name[i] == '_';
    }
    return fine;
}

static int copy_names(struct copying *c, const char *source)
{
    AUTO_CLOSE int fd = open_source(c->worker, source, 0);
    if (fd < 0) {
        return fd;
    }
    AUTO_BUF struct buf text = BUF_INIT(ENVIRON_MAX_BYTES);
    int rc = fs_read_fd(fd, &text, NULL);
    if (rc < 0 && rc != -EMSGSIZE) {
        return rc;
    }
    for (size_t at = 0; at < text.len;) {
        const char *record = buf_text(&text) + at;
        size_t len = strnlen(record, text.len - at);
        const char *equals = memchr(record, '=', len);
        size_t name_len = equals == NULL ? 0 : (size_t)(equals - record);
        if (is_variable(record, name_len) && (!put(c, record, name_len) || !put(c, "\n", 1))) {
            return c->result.code;
        }
        at += len + 1;
    }
    return begin_output(c);
}

/* The file `name` of one thread, under a line of its own. -ENOENT when the thread has ended. */
static int copy_thread(struct copying *c, int task_fd, const char *tid, const char *name)
{
    char path[320];
    char head[300];
    (void)snprintf(path, sizeof(path), "%s/%s", tid, name);
    AUTO_CLOSE int fd = openat(task_fd, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    int len = snprintf(head, sizeof(head), "== %s\n", tid);
    int rc = put(c, head, (size_t)len) ? copy_fd(c, fd) : c->result.code;
    if (rc == 0 && !c->result.truncated && strcmp(name, "wchan") == 0) {
        (void)put(c, "\n", 1); /* the one file that ends without a line feed */
    }
    return rc;
}

static int copy_threads(struct copying *c, const char *name)
{
    int fd = c->worker->pid_fd < 0
                 ? -1
                 : openat(c->worker->pid_fd, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    AUTO_DIR DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    int first = -ESRCH; /* of the first thread that could not be read */
    size_t count = 0;
    for (const struct dirent *e = dir == NULL ? NULL : readdir(dir); e != NULL; e = readdir(dir)) {
        if (isdigit((unsigned char)e->d_name[0]) == 0) {
            continue;
        }
        int rc = copy_thread(c, dirfd(dir), e->d_name, name);
        count += rc == 0 ? 1 : 0;
        first = rc < 0 && first == -ESRCH ? rc : first;
        if (c->result.truncated || c->result.code < 0) {
            break;
        }
    }
    return c->result.code < 0 ? c->result.code : count > 0 ? 0 : first;
}

/* Writes of the `len` bytes at `text`, the end of a file, what is young enough. */
static void put_tail(struct copying *c, const char *text, size_t len, bool whole, int64_t from_ms)
{
    const char *feed = whole ? NULL : memchr(text, '\n', len);
    size_t first = feed == NULL ? 0 : (size_t)(feed - text) + 1; /* half a line is none */
    bool stamped = false;
    size_t start = first + collect_tail_start(text + first, len - first, from_ms, &stamped);
    if (!stamped && len > 0) {
        (void)snprintf(c->result.note, sizeof(c->result.note),
                       "its lines carry no time with a zone: kept the end of the file");
    }
    (void)put(c, text + start, len - start);
    c->result.truncated = c->result.truncated || (!whole && start == first);
}

/* Owner of the folder that `path` lies in. */
static uid_t folder_owner_of(const char *path)
{
    char folder[4096];
    const char *slash = strrchr(path, '/');
    int len = slash == NULL || slash == path ? 1 : (int)(slash - path);
    (void)snprintf(folder, sizeof(folder), "%.*s", len, slash == NULL ? "." : path);
    struct stat st = {0};
    return stat(folder, &st) == 0 ? st.st_uid : (uid_t)-1;
}

/* Why the open log `st` is not what `source` should name, or NULL. We may read what its writer may
 * not: whoever can put a name there, and that is the owner of the folder, or in root's the owner of
 * the name, must not lead us to a file of somebody else. Looked at after the opening: a name that
 * has become another since counts as a link. */
static const char *led_astray(const char *source, const struct stat *st)
{
    struct stat name = {0};
    if (fstatat(AT_FDCWD, source, &name, AT_SYMLINK_NOFOLLOW) < 0) {
        return "it was replaced while it was opened";
    }
    bool direct = name.st_ino == st->st_ino && name.st_dev == st->st_dev;
    uid_t folder = folder_owner_of(source);
    uid_t named_by = folder == 0 ? name.st_uid : folder;
    if ((direct && st->st_nlink == 1) || named_by == 0 || named_by == st->st_uid) {
        return NULL;
    }
    return direct ? "a hard link to a file of another owner is not read"
                  : "a link that leads to a file of another owner is not followed";
}

static int copy_tail(struct copying *c, const char *source, int64_t age_ms)
{
    struct stat st = {0};
    AUTO_CLOSE int fd = open_source(c->worker, source, 0);
    if (fd < 0 || fstat(fd, &st) < 0) {
        return fd < 0 ? fd : -EIO;
    }
    const char *astray = led_astray(source, &st);
    if (astray != NULL) {
        (void)snprintf(c->result.note, sizeof(c->result.note), "%s", astray);
        return -EPERM;
    }
    if (!S_ISREG(st.st_mode)) {
        (void)snprintf(c->result.note, sizeof(c->result.note), "not a regular file");
        return -EINVAL;
    }
    int64_t now_ms = (int64_t)time(NULL) * 1000;
    int64_t idle_ms = now_ms - (int64_t)st.st_mtim.tv_sec * 1000;
    if (idle_ms > age_ms) {
        (void)snprintf(c->result.note, sizeof(c->result.note), "not written for %lld s",
                       (long long)(idle_ms / 1000));
        return begin_output(c);
    }
    int64_t most = c->worker->max_bytes < TAIL_MAX_BYTES ? c->worker->max_bytes : TAIL_MAX_BYTES;
    int64_t take = st.st_size < most ? st.st_size : most;
    AUTO_FREE char *text = malloc((size_t)take + 1);
    ssize_t n = text == NULL ? -1 : pread(fd, text, (size_t)take, st.st_size - take);
    if (n < 0) {
        return text == NULL ? -ENOMEM : -EIO;
    }
    put_tail(c, text, (size_t)n, take == st.st_size, now_ms - age_ms);
    return c->result.code;
}

static int copy_one(struct copying *c, enum copy_kind kind, const char *source, int64_t age_ms)
{
    switch (kind) {
    case KIND_FILE:
        return copy_file(c, source);
    case KIND_LISTING:
        return copy_listing(c, source);
    case KIND_NAMES:
        return copy_names(c, source);
    case KIND_THREADS:
        return copy_threads(c, source);
    case KIND_TAIL:
        return copy_tail(c, source, age_ms);
    }
    return -EINVAL;
}

/* The next field of the list, NULL at its end. */
static const char *next_field(const struct buf *list, size_t *at)
{
    if (*at >= list->len) {
        return NULL;
    }
    const char *field = buf_text(list) + *at;
    *at += strlen(field) + 1;
    return field;
}

static void work(const struct worker *w, const struct buf *list)
{
    size_t at = 0;
    for (size_t index = 0;; index++) {
        const char *kind = next_field(list, &at);
        const char *source = next_field(list, &at);
        const char *output = next_field(list, &at);
        const char *age = next_field(list, &at);
        if (age == NULL) {
            return;
        }
        struct copying c = {.worker = w, .output = output, .out_fd = -1};
        c.result.started_ms = clock_mono_ms();
        int rc = copy_one(&c, (enum copy_kind)kind[0], source, strtoll(age, NULL, 10));
        (void)printf("%zu %d %d %lld %lld %lld %s\n", index, rc, c.result.truncated ? 1 : 0,
                     (long long)c.result.bytes, (long long)c.result.started_ms,
                     (long long)clock_mono_ms(), c.result.note);
        (void)fflush(stdout);
        if (c.out_fd >= 0) {
            (void)close(c.out_fd);
        }
    }
}

int collect_copy_main(int argc, char **argv)
{
    if (argc != 5) {
        return 2;
    }
    struct worker w = {.pid = (pid_t)strtol(argv[2], NULL, 10),
                       .pid_fd = -1,
                       .max_bytes = strtoll(argv[4], NULL, 10)};
    char path[32];
    (void)snprintf(path, sizeof(path), "/proc/%d", (int)w.pid);
    if (w.pid > 0) {
        w.pid_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        /* Checked after the directory is held: it stays that process's, or reads fail by ESRCH. */
        if (w.pid_fd >= 0 && child_start_ticks(w.pid) != strtoull(argv[3], NULL, 10)) {
            (void)close(take_fd(&w.pid_fd));
        }
    }
    AUTO_BUF struct buf list = BUF_INIT(COLLECT_COPY_LIST_BYTES);
    if (fs_read_fd(COLLECT_COPY_LIST_FD, &list, NULL) < 0) {
        return 1;
    }
    work(&w, &list);
    return 0;
}
