/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base.h: what every file of the project sees first.
 *
 * The room `base/` holds what the other rooms stand on and knows nothing of incidents: errors,
 * buffers with a maximum, clocks, files, logging, JSON helpers and option tables. Nothing in it
 * includes a header of another room.
 *
 * This header is the one place where GNU extensions of C17 are named. Cleanup attributes follow one
 * policy: each AUTO_ variable is initialised on the line that declares it, ownership leaves only
 * through take_fd() or take_ptr(), and a function uses either AUTO_ variables or one forward `goto
 * out`, never both.
 */
#ifndef BASE_BASE_H
#define BASE_BASE_H

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ATTR_FORMAT(fmt, first) __attribute__((format(printf, fmt, first)))
#define ATTR_NONNULL __attribute__((nonnull))
#define ATTR_CHECK __attribute__((warn_unused_result))
#define ATTR_NORETURN __attribute__((noreturn))
#define ATTR_CLEANUP(fn) __attribute__((cleanup(fn)))

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

static inline void auto_free(void *p)
{
    free(*(void **)p);
}
static inline void auto_close(const int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd);
    }
}
static inline void auto_file(FILE **f)
{
    if (*f != NULL) {
        (void)fclose(*f);
    }
}
static inline void auto_dir(DIR **d)
{
    if (*d != NULL) {
        (void)closedir(*d);
    }
}

#define AUTO_FREE ATTR_CLEANUP(auto_free)
#define AUTO_CLOSE ATTR_CLEANUP(auto_close)
#define AUTO_FILE ATTR_CLEANUP(auto_file)
#define AUTO_DIR ATTR_CLEANUP(auto_dir)
#define AUTO_BUF ATTR_CLEANUP(buf_release)

/* Moves a descriptor out of an AUTO_CLOSE variable: the caller owns it, the variable holds -1. */
static inline int take_fd(int *fd)
{
    int moved = *fd;
    *fd = -1;
    return moved;
}

/* Moves a pointer out of an AUTO_FREE variable: the caller owns it, the variable holds NULL. */
#define take_ptr(p)                                                                                \
    (__extension__({                                                                               \
        __typeof__(p) *take_p_ = &(p);                                                             \
        __typeof__(p) take_v_ = *take_p_;                                                          \
        *take_p_ = NULL;                                                                           \
        take_v_;                                                                                   \
    }))

/*
 * Allocation of small fixed sizes: aborts when memory is out, since every process here is
 * crash-only and what matters is already on disk. Whatever is sized by input goes through a capped
 * `struct buf` or an `arena` instead.
 */
void *xcalloc(size_t count, size_t size);
void *xrealloc(void *p, size_t count, size_t size);
char *xstrdup(const char *text);
/* Returns a new string the caller frees; aborts when memory is out. */
char *xasprintf(const char *fmt, ...) ATTR_FORMAT(1, 2);

/* Functions that overrun, split or interpret: use snprintf, buf_*, strtoll through parse.h, and
 * argument vectors. */
#pragma GCC poison strcpy strcat sprintf vsprintf strtok atoi gets system popen

#endif
