/* SPDX-License-Identifier: Apache-2.0 */
/*
 * report.h: the door of the room `report/`: evidence in, a few true sentences out.
 *
 * The room is pure: bytes of artifacts in, JSON out; no file, no socket, no clock. What it reads
 * was written by a sick service or by whoever owns it, so every reader is bounded in bytes, counts
 * and depth, and a hostile artifact costs the report, never the bundle (explain and pack are
 * separate runs of the sealer).
 *
 *   pprof.h        a profile as Go and others write it    heap_growth.h  two of them, by function
 *   explain.h      all of it as report.json
 */
#ifndef REPORT_REPORT_H
#define REPORT_REPORT_H

#include "report/explain.h"
#include "report/heap_growth.h"
#include "report/pprof.h"

#endif
