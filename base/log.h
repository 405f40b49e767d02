/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log.h: one line on stderr per event, as logfmt or JSON.
 *
 * Only mains, loops, the API and command verbs log; everything below returns `struct error`.
 * Messages are lower case, name the error first, put the subject in single quotes and, where we
 * carry on, end in what we do instead. A call site that repeats itself more than LOG_BURST times in
 * 10 s is silenced and counted, so that a target that fails each second cannot fill a disk.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/error.h"

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };
enum log_format { LOG_FORMAT_LOGFMT, LOG_FORMAT_JSON };

struct log_site {
    int64_t since_ms;
    unsigned seen;
    unsigned dropped;
};

/* `program` is the value of `prog=` and must outlive the process. */
void log_open(const char *program, enum log_level least, enum log_format format);
void log_set(enum log_level least, enum log_format format);
/* Use the macros below: each call site gets its own counter. */
void log_emit(struct log_site *site, enum log_level level, const char *fmt, ...) ATTR_FORMAT(3, 4);

#define log_at(level, ...)                                                                         \
    do {                                                                                           \
        static struct log_site log_site_;                                                          \
        log_emit(&log_site_, level, __VA_ARGS__);                                                  \
    } while (0)
#define log_debug(...) log_at(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define log_info(...) log_at(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_warn(...) log_at(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_error(...) log_at(LOG_LEVEL_ERROR, __VA_ARGS__)

/* Logs `err` at `level` as "<doing>: <error text>". */
void log_err(enum log_level level, const struct error *err, const char *doing);

#endif
