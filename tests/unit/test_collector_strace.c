/* SPDX-License-Identifier: Apache-2.0 */
#include "collectors/collector.h"

int main(void)
{
    return collector_find("strace") == &collector_strace ? 0 : 1;
}
