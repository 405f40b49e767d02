/* SPDX-License-Identifier: Apache-2.0 */
/*
 * page.h: the metrics page of the faulty service, and the pieces of its hostile ones.
 */
#ifndef FAULTY_PAGE_H
#define FAULTY_PAGE_H

#include "faults.h"

#include <stddef.h>

#define PAGE_BLOCK 65536L              /* bytes of page_block */
#define PAGE_HUGE (1526L * PAGE_BLOCK) /* bytes of the huge page: 100 MB */

/* Writes the page as of `now_ns`. Returns it in memory that the caller frees, with its length. */
char *page_write(struct faults *f, int64_t now_ns, size_t *ret_length);

/* A block of valid exposition lines, PAGE_BLOCK bytes and ending with a line's end, to be sent
 * over and over. */
const char *page_block(void);

/* A block of PAGE_BLOCK bytes that is no exposition at all; the same in each run. */
const char *page_garbage(void);

#endif
