/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire.h: the typed requests between the brain (network, no privileges) and incidentd (privileges,
 * no network).
 *
 * One SOCK_SEQPACKET pair; each packet is one fixed-size struct wire_message, descriptors beside it
 * as SCM_RIGHTS. Strings never name anything to execute: targets and collectors are indices into
 * the plan of `generation`, and a request with an old generation is answered -ESTALE. Every request
 * carries an `id` chosen by the brain and is answered exactly once by a message of the same type
 * with `reply` set and `status` 0 or a negative errno. The pair is the lifeline too: EOF at the
 * brain means that incidentd is gone, and the brain ends.
 */
#ifndef WATCHDOG_WIRE_H
#define WATCHDOG_WIRE_H

#include "base/error.h"
#include "base/limits.h"

#include <sys/types.h>

enum wire_type {
    /* incidentd -> brain, unasked (reply = false) */
    WIRE_PLAN = 1,      /* fds: plan, then one per secret (or none where it could not be opened: see
                           secret_mask) */
    WIRE_STOP,          /* seal what runs within plan's shutdown_timeout, then exit 0 */
    WIRE_RELOAD_FAILED, /* text: why; the old plan stays. From the brain: it cannot work with the
                           plan it was sent, and runs the one of before */

    /* brain -> incidentd */
    WIRE_FIND,  /* target -> pid, start_ticks; fds: pidfd. -ESRCH: none, text says why */
    WIRE_BEGIN, /* capture: make its staging directory; -EEXIST is success after a restart */
    WIRE_ADD,   /* capture, name; fds: sealed memfd -> copied into staging as `name` */
    WIRE_RUN, /* capture, target, collector, phase, pid, start_ticks, run -> outcome, text, when it
                 has ended */
    WIRE_CANCEL,  /* run_id: end that run now; the WIRE_RUN is answered as usual */
    WIRE_EXPLAIN, /* capture; fds: output memfd, status pipe (write end) -> when the sealer has
                     ended */
    WIRE_PACK, /* capture; fds: output file, status pipe (write end) -> when the sealer has ended */
    WIRE_EXTRACT, /* name: member path; fds: bundle (read-only), output pipe (write end) -> when it
                     has ended */
    WIRE_DISCARD, /* capture: remove its staging directory */
    WIRE_STAGED,  /* index -> capture: the index-th staging directory left from before; -ENOENT past
                     the end */
    WIRE_RELOAD,  /* load the configuration anew: answered after the WIRE_PLAN, with its generation,
                     or with what is wrong */
    WIRE_ALIVE, /* sent each second by the brain's loop: ready, text (status line); not answered */
};

enum wire_outcome {
    WIRE_DONE,
    WIRE_PARTIAL,
    WIRE_FAILED,
    WIRE_SKIPPED,
    WIRE_TIMED_OUT,
    WIRE_INTERRUPTED
};

struct wire_message {
    uint32_t type;
    uint32_t reply;      /* bool */
    uint64_t id;         /* of the request */
    uint32_t generation; /* of the plan the indices refer to */
    int32_t status;      /* replies: 0 or negative errno */
    uint32_t target;
    uint32_t collector;
    uint32_t phase;
    int32_t pid;
    uint64_t start_ticks;
    uint64_t run_id;    /* CANCEL: id of the WIRE_RUN */
    uint32_t run;       /* RUN: running number within the capture, names the meta file */
    uint32_t index;     /* STAGED */
    uint32_t outcome;   /* RUN replies: enum wire_outcome */
    uint32_t ready;     /* ALIVE: bool; PLAN: bit mask of secrets that are attached */
    int64_t started_ms; /* RUN replies: monotonic */
    int64_t ended_ms;
    char capture[LIMIT_ID_BYTES + 1];
    char name[256]; /* ADD, EXTRACT */
    char text[512]; /* replies: why it failed; ALIVE: status line */
};

enum { WIRE_FDS_MAX = 2 + LIMIT_SECRETS };

/* Sends one message with `count` descriptors (kept by the caller). 0, -EAGAIN when the socket is
 * full, or another negative errno. */
int wire_send(int fd, const struct wire_message *m, const int *fds, size_t count,
              struct error *err);
/* Receives one message without blocking; *ret_count descriptors are the caller's to close,
 * O_CLOEXEC. 1: got one, 0: peer has closed, -EAGAIN: nothing there, -EPROTO: not a message. */
int wire_receive(int fd, struct wire_message *ret, int ret_fds[WIRE_FDS_MAX], size_t *ret_count,
                 struct error *err);

/* "done", "partial", ... as the manifest has it. */
const char *wire_outcome_name(enum wire_outcome outcome);

#endif
