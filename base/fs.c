/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

int fs_read_fd(int fd, struct buf *out, struct error *err)
{
    char chunk[16384];
    for (;;) {
        ssize_t n = read(fd, chunk, sizeof(chunk));
        if (n == 0) {
            return 0;
        }
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return error_errno(err, -errno, "cannot read");
        }
        size_t room = out->max - out->len;
        size_t take = (size_t)n < room ? (size_t)n : room;
        int rc = buf_add(out, chunk, take);
        if (rc < 0) {
            return error_errno(err, rc, "cannot keep what was read");
        }
        if (take < (size_t)n) {
            return error_set(err, -EMSGSIZE, "longer than the limit of %zu bytes", out->max);
        }
    }
}

int fs_read_at(int dir_fd, const char *name, struct buf *out, struct error *err)
{
    AUTO_CLOSE int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        int code = -errno;
        return error_errno(err, code, "cannot open '%s'", name);
    }
    int rc = fs_read_fd(fd, out, err);
    if (rc < 0) {
        return err == NULL ? rc : error_wrap(err, "'%s'", name);
    }
    return 0;
}

int fs_write_all(int fd, const void *data, size_t len, struct error *err)
{
    const char *p = data;
    while (len > 0) {
        ssize_t n = write(fd, p, len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            int code = -errno;
            return error_errno(err, code, "cannot write");
        }
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

int fs_replace_at(int dir_fd, const char *name, const void *data, size_t len, mode_t mode,
                  struct error *err)
{
    char temp[300];
    (void)snprintf(temp, sizeof(temp), ".%s.tmp", name);
    (void)unlinkat(dir_fd, temp, 0);
    AUTO_CLOSE int fd =
        openat(dir_fd, temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (fd < 0) {
        int code = -errno;
        return error_errno(err, code, "cannot create '%s'", temp);
    }
    int rc = fs_write_all(fd, data, len, err);
    if (rc == 0 &&
        (fsync(fd) < 0 || renameat(dir_fd, temp, dir_fd, name) < 0 || fsync(dir_fd) < 0)) {
        int code = -errno;
        rc = error_errno(err, code, "cannot put '%s' in place", name);
    }
    if (rc < 0) {
        (void)unlinkat(dir_fd, temp, 0);
    }
    return rc;
}

/*
 * A tree may have been made by somebody hostile: deeper than our stack, or than we may have
 * descriptors. What lies below REMOVE_DEPTH is moved to the top of the tree and removed from there,
 * in another pass.
 */
enum { REMOVE_DEPTH = 32, REMOVE_PASSES = 1 << 16 };

struct removal {
    int top_fd;
    unsigned depth;
    unsigned moved; /* names made up at the top */
};

static int remove_contents(int dir_fd, struct removal *r, struct error *err);

static int move_up(int dir_fd, const char *name, struct removal *r, struct error *err)
{
    char up[32];
    int rc = -1;
    do {
        (void)snprintf(up, sizeof(up), ".deep-%u", r->moved++);
        rc = renameat2(dir_fd, name, r->top_fd, up, RENAME_NOREPLACE);
    } while (rc < 0 && errno == EEXIST);
    if (rc < 0) {
        int code = -errno;
        return error_errno(err, code, "cannot move '%s' to remove it", name);
    }
    return 0;
}

/* Removes one entry of a directory, descending where it is one. */
static int remove_entry(int dir_fd, const char *name, struct removal *r, struct error *err)
{
    if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT) {
        return 0;
    }
    if (errno != EISDIR && errno != EPERM) {
        int code = -errno;
        return error_errno(err, code, "cannot remove '%s'", name);
    }
    if (r->depth >= REMOVE_DEPTH) {
        return move_up(dir_fd, name, r, err);
    }
    AUTO_CLOSE int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        int code = -errno;
        return error_errno(err, code, "cannot open '%s' to remove it", name);
    }
    r->depth++;
    int rc = remove_contents(fd, r, err);
    r->depth--;
    if (rc == 0 && unlinkat(dir_fd, name, AT_REMOVEDIR) < 0) {
        int code = -errno;
        rc = error_errno(err, code, "cannot remove '%s'", name);
    }
    return rc;
}

static int remove_contents(int dir_fd, struct removal *r, struct error *err)
{
    int copy = fcntl(dir_fd, F_DUPFD_CLOEXEC, 0);
    AUTO_DIR DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    if (dir == NULL) {
        int code = -errno;
        return error_errno(err, code, "cannot list a directory");
    }
    rewinddir(dir);
    for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) {
            continue;
        }
        int rc = remove_entry(dir_fd, e->d_name, r, err);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

int fs_remove_tree(int dir_fd, const char *name, struct error *err)
{
    if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT) {
        return 0;
    }
    AUTO_CLOSE int top = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (top < 0) {
        int code = -errno;
        return error_errno(err, code, "cannot open '%s' to remove it", name);
    }
    struct removal r = {.top_fd = top};
    for (unsigned pass = 0; pass < REMOVE_PASSES; pass++) {
        int rc = remove_contents(top, &r, err);
        if (rc < 0 || unlinkat(dir_fd, name, AT_REMOVEDIR) == 0) {
            return rc;
        }
        if (errno != ENOTEMPTY && errno != EEXIST) {
            break;
        }
    }
    int code = -errno;
    return error_errno(err, code, "cannot remove '%s'", name);
}

int fs_make_dir(int dir_fd, const char *name, mode_t mode, struct error *err)
{
    if (mkdirat(dir_fd, name, mode) < 0 && errno != EEXIST) {
        int code = -errno;
        return error_errno(err, code, "cannot create directory '%s'", name);
    }
    int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        int code = -errno;
        return error_errno(err, code, "cannot open directory '%s'", name);
    }
    return fd;
}

int fs_sealed_memfd(const char *name, const void *data, size_t len, struct error *err)
{
    AUTO_CLOSE int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0) {
        int code = -errno;
        return error_errno(err, code, "cannot create memfd '%s'", name);
    }
    int rc = fs_write_all(fd, data, len, err);
    if (rc < 0) {
        return rc;
    }
    if (lseek(fd, 0, SEEK_SET) < 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0) {
        int code = -errno;
        return error_errno(err, code, "cannot seal memfd '%s'", name);
    }
    return take_fd(&fd);
}

bool fs_name_ok(const char *name, size_t max)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    size_t len = strlen(name);
    return len > 0 && len <= max && name[0] != '.' && name[0] != '-' &&
           strspn(name, allowed) == len;
}
