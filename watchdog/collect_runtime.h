/* SPDX-License-Identifier: Apache-2.0 */
/*
 * collect_runtime.h: which language runtime a process is, without touching it.
 */
#ifndef WATCHDOG_COLLECT_RUNTIME_H
#define WATCHDOG_COLLECT_RUNTIME_H

#include "collectors/collector.h"

/* By the executable's name and ELF sections and by what the process has mapped; RUNTIME_NATIVE when
 * nothing is known. Must not be guessed wrong towards a runtime: later kinds send signals that kill
 * an unprepared process. */
enum collector_runtime collect_runtime_detect(pid_t pid);
/* "go", "jvm", "node", "python", "native" or "unknown". */
const char *collect_runtime_name(enum collector_runtime runtime);
/* True when the ELF file `fd` has a section `.go.buildinfo` or a note of the owner "Go". */
bool collect_runtime_is_go(int fd);

#endif
