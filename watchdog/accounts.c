/* SPDX-License-Identifier: Apache-2.0 */
#include "watchdog/accounts.h"

#include "watchdog/child.h"

#include <errno.h>
#include <linux/capability.h>
#include <pwd.h>

int accounts_find(const char *name, struct account *ret, struct error *err)
{
    *ret = (struct account){(uid_t)-1, (gid_t)-1};
    const uint64_t needed = 1ULL << CAP_SETUID | 1ULL << CAP_SETGID;
    if ((child_caps_permitted() & needed) != needed || name[0] == '\0') {
        return 0;
    }
    char space[4096];
    struct passwd entry;
    struct passwd *found = NULL;
    int rc = getpwnam_r(name, &entry, space, sizeof(space), &found);
    if (rc != 0 || found == NULL) {
        (void)error_set(err, -ENOENT, "no account '%s'", name);
        return error_remedy(err, "useradd --system --no-create-home %s", name);
    }
    *ret = (struct account){found->pw_uid, found->pw_gid};
    return 0;
}
