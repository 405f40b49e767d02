/* SPDX-License-Identifier: Apache-2.0 */
#include "collectors/collector.h"

const struct collector collector_perf = {.name = "perf"};
