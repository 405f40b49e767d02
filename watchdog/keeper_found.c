/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keeper_found.c: which processes the targets are. The search is the configuration's, so only what
 * it found may be looked into: the brain names a process in RUN, and one that no FIND has answered
 * is refused. The last lives of each target are kept, for a capture may still run when the process
 * it is about has been replaced.
 */
#include "watchdog/keeper.h"

/* The row of the target's name; with `make`, a row of a target that no plan has any more. */
static struct keeper_found *row_of(struct keeper *k, const char *name, bool make)
{
    for (size_t i = 0; i < ARRAY_LEN(k->found); i++) {
        if (strcmp(k->found[i].target, name) == 0) {
            return &k->found[i];
        }
    }
    const struct plan_head *head = keeper_plan_of(k, k->generation)->plan.head;
    for (size_t i = 0; i < ARRAY_LEN(k->found) && make; i++) {
        bool used = false;
        for (uint32_t t = 0; t < head->target_count && k->found[i].target[0] != '\0'; t++) {
            used = used || strcmp(k->found[i].target, head->targets[t].name) == 0;
        }
        if (!used) {
            k->found[i] = (struct keeper_found){.next = 0};
            memcpy(k->found[i].target, name, strlen(name) + 1);
            return &k->found[i];
        }
    }
    return NULL;
}

/* Name of the target a message speaks of, or NULL. */
static const char *name_of(const struct keeper *k, const struct wire_message *m)
{
    const struct keeper_plan *plan = keeper_plan_of(k, m->generation);
    return plan == NULL || m->target >= plan->plan.head->target_count
               ? NULL
               : plan->plan.head->targets[m->target].name;
}

bool keeper_found_knows(struct keeper *k, const struct wire_message *m)
{
    const char *name = name_of(k, m);
    const struct keeper_found *row = name == NULL ? NULL : row_of(k, name, false);
    for (size_t i = 0; i < KEEPER_LIVES && row != NULL; i++) {
        if (row->lives[i].pid == m->pid && row->lives[i].start_ticks == m->start_ticks) {
            return true;
        }
    }
    return false;
}

void keeper_found_note(struct keeper *k, const struct wire_message *m)
{
    const char *name = name_of(k, m);
    struct keeper_found *row =
        name == NULL || keeper_found_knows(k, m) ? NULL : row_of(k, name, true);
    if (row != NULL) {
        row->lives[row->next].pid = m->pid;
        row->lives[row->next].start_ticks = m->start_ticks;
        row->next = (row->next + 1) % KEEPER_LIVES;
    }
}
