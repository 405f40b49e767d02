/* SPDX-License-Identifier: Apache-2.0 */
#include "collectors/collector.h"

int main(void)
{
    return collector_find("pprof") == &collector_pprof ? 0 : 1;
}
