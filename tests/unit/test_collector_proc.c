/* SPDX-License-Identifier: Apache-2.0 */
#include "collectors/collector.h"

int main(void)
{
    return collector_find("proc") == &collector_proc ? 0 : 1;
}
