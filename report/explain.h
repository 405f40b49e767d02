/* SPDX-License-Identifier: Apache-2.0 */
/*
 * explain.h: the artifacts of one capture as report.json.
 */
#ifndef REPORT_EXPLAIN_H
#define REPORT_EXPLAIN_H

#include "base/buf.h"
#include "base/error.h"

struct explain_input {
    /* The heap profiles; NULL bytes: there is none. */
    const void *from;
    size_t from_len;
    const char *from_path; /* as the bundle names it */
    const void *to;
    size_t to_len;
    const char *to_path;
    double seconds; /* between them by the collectors' clock; 0: take the profiles' own times */
};

/* Appends report.json to `out`. A profile that cannot be read is told in the report ("problems"),
 * not as a failure. 0, or -EMSGSIZE when `out` is too small, or -ENOMEM. */
int explain_report(const struct explain_input *in, struct buf *out, struct error *err);

#endif
