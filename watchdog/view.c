/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One pointer to the current view under a mutex that is held for the copy of that pointer and an
 * increment only. The count itself is atomic, so that a reader gives its view back without the
 * lock. RCU would save the mutex and cost a grace period; a view changes some times a second and is
 * read some times a second.
 */
#include "watchdog/view.h"

#include <pthread.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct view *current;

struct view *view_new(void)
{
    struct view *v = xcalloc(1, sizeof(*v));
    v->references = 1;
    return v;
}

void view_publish(struct view *v)
{
    (void)pthread_mutex_lock(&lock);
    struct view *old = current;
    current = v;
    (void)pthread_mutex_unlock(&lock);
    view_release(old);
}

struct view *view_acquire(void)
{
    (void)pthread_mutex_lock(&lock);
    struct view *v = current;
    if (v != NULL) {
        (void)__atomic_add_fetch(&v->references, 1, __ATOMIC_RELAXED);
    }
    (void)pthread_mutex_unlock(&lock);
    return v;
}

void view_release(struct view *v)
{
    if (v == NULL || __atomic_sub_fetch(&v->references, 1, __ATOMIC_ACQ_REL) > 0) {
        return;
    }
    free(v->captures);
    free(v->incidents);
    free(v->rules);
    free(v->targets);
    free(v->metrics);
    free(v);
}

/* The index of `id` among `count` ids that lie `stride` bytes apart, or -1. */
static ptrdiff_t find(const char *first, size_t count, size_t stride, const char *id)
{
    if (count == 0 || id[0] == '\0') {
        return -1;
    }
    if (strcmp(id, "latest") == 0) {
        return 0;
    }
    size_t len = strlen(id);
    ptrdiff_t found = -1;
    bool several = false;
    for (size_t i = 0; i < count; i++) {
        const char *candidate = first + i * stride;
        if (strcmp(candidate, id) == 0) {
            return (ptrdiff_t)i;
        }
        if (strncmp(candidate, id, len) == 0) {
            several = several || found >= 0;
            found = (ptrdiff_t)i;
        }
    }
    return several ? -1 : found;
}

const struct view_capture *view_capture_find(const struct view *v, const char *id)
{
    if (v == NULL || v->capture_count == 0) {
        return NULL;
    }
    ptrdiff_t i = find(v->captures[0].id, v->capture_count, sizeof(v->captures[0]), id);
    return i < 0 ? NULL : &v->captures[i];
}

const struct view_incident *view_incident_find(const struct view *v, const char *id)
{
    if (v == NULL || v->incident_count == 0) {
        return NULL;
    }
    ptrdiff_t i = find(v->incidents[0].id, v->incident_count, sizeof(v->incidents[0]), id);
    return i < 0 ? NULL : &v->incidents[i];
}

const char *view_capture_state_name(enum view_capture_state state)
{
    static const char *const names[] = {"capturing", "sealing", "sealed", "partial", "lost"};
    return (size_t)state < ARRAY_LEN(names) ? names[state] : "unknown";
}

const char *view_grade_name(enum watch_grade grade)
{
    static const char *const names[] = {"none", "light", "full"};
    return (size_t)grade < ARRAY_LEN(names) ? names[grade] : "none";
}
