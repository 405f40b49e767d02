/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pprof.h: reads a profile in pprof's format (gzip or plain protobuf) within fixed bounds.
 */
#ifndef REPORT_PPROF_H
#define REPORT_PPROF_H

#include "base/error.h"

enum {
    PPROF_INFLATED_BYTES = 64 << 20, /* a Go heap profile of a large service is about 1 MB */
    PPROF_MESSAGE_BYTES = 1 << 20,   /* one sample, location or function */
    PPROF_STRING_BYTES = 4096,       /* what is kept of one string */
    PPROF_ENTRIES = 1 << 20,         /* of each: samples, locations, functions, strings */
    PPROF_POOL = 8 << 20,            /* of each: frames, values, lines */
    PPROF_TYPES = 16,
};

struct pprof;

/* Decodes `len` bytes. 0 and *ret, which pprof_free frees and which keeps no pointer into `bytes`;
 * -EINVAL when it is no profile, -EMSGSIZE past a bound, -ENOMEM. */
int pprof_parse(const void *bytes, size_t len, struct pprof **ret, struct error *err);
/* NULL is a no-op. */
void pprof_free(struct pprof *p);

/* Index of the sample type `name` ("inuse_space"), or -1. */
int pprof_type(const struct pprof *p, const char *name);
size_t pprof_sample_count(const struct pprof *p);
/* Value of a sample for the type index `type` (as pprof_type gave it). */
int64_t pprof_value(const struct pprof *p, size_t sample, int type);
/* Fills `names` with at most `max` functions of the sample's stack, leaf first, inlined calls
 * included; returns their number. The texts live as long as `p`; "<unknown>" for what has no name.
 */
size_t pprof_stack(const struct pprof *p, size_t sample, const char **names, size_t max);
/* Wall time of the profile in nanoseconds since the epoch, 0 when it does not say. */
int64_t pprof_time_ns(const struct pprof *p);

#endif
