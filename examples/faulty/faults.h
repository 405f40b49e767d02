/* SPDX-License-Identifier: Apache-2.0 */
/*
 * faults.h: what is wrong with the service right now, and what it has counted so far.
 */
#ifndef FAULTY_FAULTS_H
#define FAULTY_FAULTS_H

#include <stdbool.h>
#include <stdint.h>

enum faults_page {
    FAULTS_PAGE_NORMAL,
    FAULTS_PAGE_OPENMETRICS,
    FAULTS_PAGE_HUGE,
    FAULTS_PAGE_ENDLESS,
    FAULTS_PAGE_SLOW,
    FAULTS_PAGE_GARBAGE,
    FAULTS_PAGE_REDIRECT,
    FAULTS_PAGE_ERROR,
    FAULTS_PAGE_EMPTY,
    FAULTS_PAGE_TRUNCATED,
};

#define FAULTS_BUCKETS 9 /* of the latency histogram, without +Inf */

struct faults {
    double error_ratio; /* share of requests answered with error_code, 0..1 */
    long error_code;
    long latency_ms; /* of /reserve */
    long metrics_latency_ms;
    bool hang; /* nothing but /fault is answered */
    long pad_series;
    enum faults_page page;
    double rate; /* requests a second counted from the clock; 0: only real ones */

    /* Counted so far. Doubles, since a virtual rate leaves fractions; a page shows each one's
     * floor, so that none ever falls. */
    double good;
    double bad;
    double bucket[FAULTS_BUCKETS + 1];
    double latency_sum;
    double owed; /* fraction of an error that real requests have run up */
    uint64_t health;
    uint64_t scrapes;
    int64_t settled_ns; /* the virtual counters hold what happened up to here, CLOCK_MONOTONIC */
};

/* Upper bounds of the histogram's buckets in seconds. */
extern const double faults_bounds[FAULTS_BUCKETS];

/* No fault, nothing counted, at `now_ns` of CLOCK_MONOTONIC. */
void faults_init(struct faults *f, int64_t now_ns);

/* Applies "name=value&name=value" (faulty.c's head lists the names) at `now_ns`. Either all of it
 * is applied or, when a name or a value is wrong, nothing. exit and crash take effect in the
 * caller: *ret_exit is set to the exit code, 256 for a crash, else -1. Returns false with the
 * offending part in `wrong` (of wrong_size bytes). */
bool faults_apply(struct faults *f, const char *query, int64_t now_ns, int *ret_exit, char *wrong,
                  unsigned long wrong_size);

/* Brings the virtual counters up to `now_ns`. */
void faults_settle(struct faults *f, int64_t now_ns);

/* Counts one real request to /reserve and returns the status to answer with. With a ratio of 0.05
 * exactly each twentieth fails. */
int faults_request(struct faults *f);

#endif
