/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guess.h: what a metrics page tells about a service that nobody has described yet.
 *
 * Pure: a page in, guesses out. Used by `incidentctl init`, which prints each of them with its
 * reason, so that a person can say no.
 */
#ifndef WATCHDOG_GUESS_H
#define WATCHDOG_GUESS_H

#include "base/error.h"

enum { GUESS_NAME_BYTES = 128, GUESS_SELECTOR_BYTES = 768 };

struct guess {
    char metric[GUESS_NAME_BYTES];     /* the counter of requests, "" when none was found */
    size_t series;                     /* how many series it has */
    char code_label[GUESS_NAME_BYTES]; /* the label that says how a request ended, "" when none */
    char path_label[GUESS_NAME_BYTES]; /* the label that says what was asked for, "" when none */
    char total[GUESS_SELECTOR_BYTES];  /* selectors; "" unless metric and code_label are known */
    char good[GUESS_SELECTOR_BYTES];
    char left_out[256];       /* paths on the page that the selectors leave out: "/metrics, ..." */
    const char *runtime;      /* as the configuration has it, NULL when the page does not say */
    const char *runtime_from; /* the metric that says so */
    char other[256];          /* counters that look like requests but have no code: "a, b" */
};

/* Reads a page. Returns 0, or -EINVAL with line and column when it is no exposition. */
int guess_page(const char *page, size_t len, bool openmetrics, struct guess *ret,
               struct error *err);

#endif
