/* SPDX-License-Identifier: Apache-2.0 */
/*
 * openers.h: the public tools' commands that open what a bundle holds.
 *
 * One table for the terminal and the page. A command is offered when its files are in the manifest
 * with bytes in them; the kind of a collector decides, so that one renamed by `type:` has its own.
 */
#ifndef WATCHDOG_OPENERS_H
#define WATCHDOG_OPENERS_H

#include "base/buf.h"

#include <cjson/cJSON.h>

/* Appends one command a line, to be run in the unpacked bundle; nothing where none fits. Only fixed
 * words and names of [A-Za-z0-9._-] get into a line, whatever the manifest says. 0 or -EMSGSIZE. */
int openers_list(const cJSON *manifest, struct buf *out);

#endif
