/* SPDX-License-Identifier: Apache-2.0 */
/*
 * limits.h: every maximum of the project with its reason. Whatever a user, a target or a peer can
 * grow ends here.
 */
#ifndef BASE_LIMITS_H
#define BASE_LIMITS_H

enum {
    /* Configuration: libyaml has no nesting limit and is quadratic on nested flow collections. */
    LIMIT_CONFIG_BYTES = 1 << 20,
    LIMIT_CONFIG_DEPTH = 64,
    LIMIT_CONFIG_DIAGNOSTICS = 100,
    LIMIT_PLAN_BYTES = 4 << 20,
    LIMIT_TARGETS = 64,
    LIMIT_RULES = 256,
    LIMIT_COLLECTORS = 64,
    LIMIT_SECRETS = 16,

    /* A scrape: Prometheus' own pages reach some MB; ten times that is a fault of the page. */
    LIMIT_PAGE_BYTES = 16 << 20,
    LIMIT_LINE_BYTES = 64 << 10,
    LIMIT_LABELS = 64,
    LIMIT_SERIES_PER_TARGET = 50000,

    /* Names: a bundle's file name with suffixes must fit NAME_MAX (255). */
    LIMIT_NAME_BYTES = 48,
    LIMIT_ID_BYTES = 200,

    /* One capture. */
    LIMIT_ARTIFACTS = 4096,
    LIMIT_MANIFEST_BYTES = 4 << 20,
    LIMIT_REPORT_BYTES = 4 << 20,
    LIMIT_ADDED_BYTES = 64 << 20,

    /* One HTTP request to us; answers are streamed. */
    LIMIT_REQUEST_BODY_BYTES = 64 << 10,
    LIMIT_RESPONSE_BYTES = 16 << 20,
};

#endif
