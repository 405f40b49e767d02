/* SPDX-License-Identifier: Apache-2.0 */
#include "collectors/collector.h"

int main(void)
{
    return collector_find("logs") == &collector_logs ? 0 : 1;
}
