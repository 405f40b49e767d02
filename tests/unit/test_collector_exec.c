/* SPDX-License-Identifier: Apache-2.0 */
#include "collectors/collector.h"

int main(void)
{
    return collector_find("exec") == &collector_exec ? 0 : 1;
}
