/* SPDX-License-Identifier: Apache-2.0 */
/*
 * collect_copy.h: `incidentd-collect copy`, the reading of files that may hang.
 *
 * /proc/PID/maps and smaps take mmap_lock, a log may lie on a dead network file system: such a read
 * cannot be given up from inside. So all files are read by a process of their own, which its parent
 * kills at the deadline; what it had finished by then stands.
 *
 * The list of files comes as a memfd of NUL-terminated fields, four each: kind, source, output, age
 * in milliseconds. After each file the worker prints a line.
 */
#ifndef WATCHDOG_COLLECT_COPY_H
#define WATCHDOG_COLLECT_COPY_H

#include "base/buf.h"
#include "collectors/collector.h"

enum {
    COLLECT_COPY_LIST_FD = 3,
    COLLECT_COPY_FOLDER_FD = 4,
    COLLECT_COPY_LIST_BYTES = 256 << 10,
    COLLECT_COPY_ANSWER_BYTES = 256 << 10,
};

struct collect_copy_result {
    bool done;
    int code; /* 0 or negative errno */
    bool truncated;
    int64_t bytes;
    int64_t started_ms; /* monotonic */
    int64_t ended_ms;
    char note[160]; /* "" when there is nothing to say */
};

/* Number of files a STEP_COPY or STEP_TAIL step asks for, and the output name of the `index`th. */
size_t collect_copy_count(const struct collector_step *step);
const char *collect_copy_output(const struct collector_step *step, size_t index);
/* Appends the worker's list for the step. */
void collect_copy_list(const struct collector_step *step, struct buf *out);
/* Reads what the worker printed into `results` (zeroed by the caller). */
void collect_copy_answers(const char *text, struct collect_copy_result *results, size_t count);

/* The worker: `copy PID START_TICKS MAX_BYTES`. Descriptors 3: the list, 4: the artifact folder, 1:
 * the lines. PID 0: no process, sources under /proc/PID do not occur. Returns the exit status. */
int collect_copy_main(int argc, char **argv);

#endif
