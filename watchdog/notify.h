/* SPDX-License-Identifier: Apache-2.0 */
/*
 * notify.h: the service manager's protocol, sd_notify(3), without its library.
 *
 * Source: https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html, which declares it
 * stable.
 */
#ifndef WATCHDOG_NOTIFY_H
#define WATCHDOG_NOTIFY_H

#include "base/base.h"

/* Opens the socket named by NOTIFY_SOCKET and takes the variable out of the environment. Without
 * one, the calls below do nothing. */
void notify_open(void);
/* Sends newline-separated assignments, for example "READY=1\nSTATUS=watching 2 targets". */
void notify_send(const char *fmt, ...) ATTR_FORMAT(1, 2);
/* "RELOADING=1" with MONOTONIC_USEC, as Type=notify-reload wants it. */
void notify_reloading(void);
/* Milliseconds between two "WATCHDOG=1", half of what WATCHDOG_USEC asks for; 0: none wanted. */
int64_t notify_watchdog_ms(void);

#endif
