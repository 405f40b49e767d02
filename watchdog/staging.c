/* SPDX-License-Identifier: Apache-2.0 */
#include "watchdog/staging.h"

#include "base/fs.h"
#include "base/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

/* Gives the directory `fd` to `account`, where one was chosen. */
static int give(int fd, const struct account *account, mode_t mode, struct error *err)
{
    if (account->uid != (uid_t)-1 && fchown(fd, account->uid, account->gid) < 0) {
        int code = -errno;
        return error_errno(err, code, "cannot give a folder of the store to uid %u",
                           (unsigned)account->uid);
    }
    if (fchmod(fd, mode) < 0) {
        int code = -errno;
        return error_errno(err, code, "cannot set the mode of a folder of the store");
    }
    return 0;
}

static int make_owned(int dir_fd, const char *name, const struct account *account,
                      struct error *err)
{
    AUTO_CLOSE int fd = fs_make_dir(dir_fd, name, 0700, err);
    int rc = fd < 0 ? fd : give(fd, account, 0700, err);
    return rc < 0 ? rc : take_fd(&fd);
}

static int lock_store(int store_fd, struct error *err)
{
    AUTO_CLOSE int fd =
        openat(store_fd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
    if (fd < 0) {
        int code = -errno;
        return error_errno(err, code, "cannot open the store's lock");
    }
    struct stat st = {0};
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_nlink != 1) {
        /* The folder is the brain's: a hard link would have us write over somebody's file. */
        return error_set(err, -EINVAL, "the store's lock is not a file of its own");
    }
    char owner[32] = "";
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        ssize_t n = pread(fd, owner, sizeof(owner) - 1, 0);
        owner[n < 0 ? 0 : n] = '\0';
        (void)error_set(err, -EBUSY, "the store is in use by incidentd with pid %s", owner);
        return error_remedy(err, "stop that one, or give this one its own store.path");
    }
    int n = snprintf(owner, sizeof(owner), "%d", (int)getpid());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, owner, (size_t)n, 0) != n) {
        int code = -errno;
        return error_errno(err, code, "cannot write the store's lock");
    }
    return take_fd(&fd);
}

/* mkdir -p */
static int make_path(const char *path, struct error *err)
{
    char part[512];
    size_t len = strlen(path);
    if (len == 0 || path[0] != '/' || len >= sizeof(part)) {
        return error_set(err, -EINVAL, "store.path '%s' is not an absolute path", path);
    }
    for (size_t i = 1; i <= len; i++) {
        if (path[i] != '/' && path[i] != '\0') {
            continue;
        }
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, 0711) < 0 && errno != EEXIST) {
            int code = -errno;
            return error_errno(err, code, "cannot create '%s'", part);
        }
    }
    return 0;
}

int staging_open(const char *path, const struct account *brain, const struct account *work,
                 struct staging *ret, struct error *err)
{
    struct staging s = STAGING_INIT;
    s.work = *work;
    int rc = make_path(path, err);
    if (rc == 0) {
        s.store_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        rc = s.store_fd < 0 ? error_errno(err, -errno, "cannot open the store") : 0;
    }
    if (rc == 0) {
        s.lock_fd = lock_store(s.store_fd, err);
        rc = s.lock_fd;
    }
    static const char *const folders[] = {"bundles", "journal"};
    for (size_t i = 0; i < ARRAY_LEN(folders) && rc >= 0; i++) {
        AUTO_CLOSE int fd = make_owned(s.store_fd, folders[i], brain, err);
        rc = fd < 0 ? fd : 0;
    }
    if (rc >= 0) {
        s.fd = make_owned(s.store_fd, "staging", work, err);
        rc = s.fd;
    }
    if (rc >= 0) {
        /* The brain keeps its state here; the work account only ever gets descriptors below. */
        rc = give(s.store_fd, brain, 0711, err);
    }
    if (rc < 0) {
        staging_close(&s);
        (void)error_at(err, path, 0, 0);
        return rc;
    }
    *ret = s;
    return 0;
}

void staging_close(struct staging *s)
{
    int *fds[] = {&s->store_fd, &s->fd, &s->lock_fd};
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        if (*fds[i] >= 0) {
            (void)close(take_fd(fds[i]));
        }
    }
}

static int name_check(const char *name, struct error *err)
{
    return fs_name_ok(name, LIMIT_ID_BYTES)
               ? 0
               : error_set(err, -EINVAL, "not a name for a capture or file");
}

int staging_begin(const struct staging *s, const char *capture, struct error *err)
{
    int rc = name_check(capture, err);
    return rc < 0 ? rc : make_owned(s->fd, capture, &s->work, err);
}

/* Copies `size` bytes of `fd` to `out` and gives that to the work account. */
static int fill(int fd, off_t size, int out, const char *name, struct error *err)
{
    off_t at = 0;
    while (at < size) {
        ssize_t n = sendfile(out, fd, &at, (size_t)(size - at));
        if (n <= 0) {
            int code = n == 0 ? -EIO : -errno;
            return error_errno(err, code, "cannot write '%s' in staging", name);
        }
    }
    if (fchmod(out, 0644) < 0) { /* for the work account, whose folder nobody else may enter */
        int code = -errno;
        return error_errno(err, code, "cannot set the mode of '%s'", name);
    }
    return 0;
}

/* What we add stays ours, so that a collector that was there first cannot pass for us: removes what
 * stands in the place of `name` and is no file of ours. */
static int clear_forged(int dir_fd, const char *name, struct error *err)
{
    struct stat st = {0};
    bool there = fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
    bool forged = there && (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || st.st_nlink != 1);
    return forged ? fs_remove_tree(dir_fd, name, err) : 0;
}

int staging_add(int dir_fd, const char *name, int fd, struct error *err)
{
    const int wanted = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW;
    int rc = name_check(name, err);
    if (rc < 0) {
        return rc;
    }
    struct stat st = {0};
    int seals = fcntl(fd, F_GET_SEALS); /* -1, all bits set, for what is no memfd */
    if (seals < 0 || (seals & wanted) != wanted || fstat(fd, &st) < 0 ||
        st.st_size > LIMIT_ADDED_BYTES) {
        return error_set(err, -EINVAL, "'%s' is not a sealed memfd within the limit", name);
    }
    char temp[LIMIT_ID_BYTES + 8];
    (void)snprintf(temp, sizeof(temp), ".%s.tmp", name);
    rc = fs_remove_tree(dir_fd, temp, err); /* of an interruption */
    if (rc < 0) {
        return rc;
    }
    AUTO_CLOSE int out =
        openat(dir_fd, temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (out < 0) {
        int code = -errno;
        return error_errno(err, code, "cannot create '%s' in staging", name);
    }
    rc = fill(fd, st.st_size, out, name, err);
    /* In place whole or not at all, and never over what is there: a link does both. */
    rc = rc == 0 ? clear_forged(dir_fd, name, err) : rc;
    if (rc == 0 && linkat(dir_fd, temp, dir_fd, name, 0) < 0) {
        int code = -errno;
        rc = error_errno(err, code, "cannot create '%s' in staging", name);
    }
    (void)unlinkat(dir_fd, temp, 0);
    return rc;
}

int staging_discard(const struct staging *s, const char *capture, struct error *err)
{
    int rc = name_check(capture, err);
    return rc < 0 ? rc : fs_remove_tree(s->fd, capture, err);
}

/* The folder is the work account's, which may fill it: what lies beyond this is left to a person.
 */
enum { FOLDERS_MAX = 1024 };

int staging_at(const struct staging *s, unsigned index, char *ret, size_t size)
{
    if (index >= FOLDERS_MAX) {
        return -ENOENT;
    }
    int copy = fcntl(s->fd, F_DUPFD_CLOEXEC, 0);
    AUTO_DIR DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    if (dir == NULL) {
        return -errno;
    }
    rewinddir(dir);
    /* Folders are few: the index-th smallest name by repeated scans, without an allocation sized by
     * the disk. */
    char floor[256] = "";
    for (unsigned i = 0; i <= index; i++) {
        char best[256] = "";
        rewinddir(dir);
        unsigned seen = 0;
        for (struct dirent *e = readdir(dir); e != NULL && seen < FOLDERS_MAX; e = readdir(dir)) {
            seen++;
            if (fs_name_ok(e->d_name, LIMIT_ID_BYTES) && strcmp(e->d_name, floor) > 0 &&
                (best[0] == '\0' || strcmp(e->d_name, best) < 0)) {
                memcpy(best, e->d_name, strlen(e->d_name) + 1);
            }
        }
        if (best[0] == '\0') {
            return -ENOENT;
        }
        memcpy(floor, best, sizeof(floor));
    }
    (void)snprintf(ret, size, "%s", floor);
    return 0;
}
