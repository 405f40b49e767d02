/* SPDX-License-Identifier: Apache-2.0 */
/*
 * range.h: the conditional and range headers of RFC 9110, sections 13 and 14, over one entity with
 * a strong ETag. Pure: text in, decision out.
 *
 * One range is answered; a set of several is ignored and the whole is sent, which the RFC allows
 * and every client handles (14.2). A header that does not parse is ignored likewise.
 */
#ifndef WATCHDOG_RANGE_H
#define WATCHDOG_RANGE_H

#include "base/base.h"

enum range_kind {
    RANGE_WHOLE,         /* send everything: 200 */
    RANGE_PART,          /* send [offset, offset + length): 206 */
    RANGE_UNSATISFIABLE, /* 416 with "Content-Range: bytes * / size" */
};

struct range {
    uint64_t offset;
    uint64_t length; /* > 0 */
};

/* Decides by the Range header (NULL: none) over `size` bytes. `*ret` is set for RANGE_PART only. */
enum range_kind range_parse(const char *header, uint64_t size, struct range *ret);
/* True when Range may be honoured: If-Range is absent (NULL) or is exactly `etag` (strong
 * comparison; dates never match). `etag` has its quotes. */
bool range_if_range(const char *header, const char *etag);
/* True when an If-None-Match or If-Match list (NULL: none) names `etag` or is "*". Weak tags count
 * only when `weak` is set. */
bool range_etag_listed(const char *header, const char *etag, bool weak);

#endif
