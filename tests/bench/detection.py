#!/usr/bin/env python3
"""Goal: how long from the first failed request to the first instruction of a collector, for incidentd and for what a
user would take instead, on the same service at the same moments.

  detection.py [--rounds N] [--only error|outage] [--without-pt-stalk] [--json FILE]

The service (examples/faulty) counts 1,000 requests/s from the clock; at a random moment 5 % of them (error), or all
(outage), fail. incidentd runs an exec collector, Alertmanager's webhook and pt-stalk's hook run the same program, which
stamps the clock first of all. All look each second: incidentd with interval 1s, Prometheus with scrape and evaluation
1s, rate[5s], no `for`, group_wait 0s, pt-stalk with --interval 1 --cycles 1. incidentd's look_back is 5s, as the others'
window, so that it is quiet again as soon as they are. Exit 1 when incidentd's median is above 0.8 s or above Prometheus'. Of pt-stalk
only the figure is shown: it looks as often, so it is as fast; it has no test of significance to pay for either.
"""
import argparse
import json
import os
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import daemon as lib  # noqa: E402
import peers  # noqa: E402

LIMIT_S = 0.8
ROUND_S = 30  # longer than this counts as not detected

CONFIG = """targets:
  service:
    process: {{pid: {pid}}}
    metrics: {url}/metrics
    interval: 1s
    startup_grace: 0s
rules:
  - name: availability
    slo: {{objective: 0.999, good: 'http_requests_total{{code!~"5.."}}', total: http_requests_total, look_back: 5s}}
    keep_firing_for: 1s
    cooldown: 0s
    capture: [stamp]
collectors:
  stamp: {{type: exec, argv: [{stamp}, incidentd, {stamps}], phase: instant}}
limits: {{per_incident: 100, per_hour: 1000, per_day: 10000}}
"""


def choose_bin():
    """The release build where there is one; figures of a debug build would not be incidentd's."""
    if "INCIDENTD_BIN" not in os.environ:
        for preset in ("release", "quickstart"):
            place = lib.SOURCE / "build" / preset / "bin"
            if (place / "incidentd-brain").exists():
                lib.BIN = place
                return


class Bench:
    def __init__(self, place, with_stalk):
        self.place = pathlib.Path(place)
        self.place.chmod(0o755)
        self.stamps = self.place / "stamps"
        self.stamps.touch()
        self.stamps.chmod(0o666)
        stamp = self.place / "stamp"
        subprocess.run(["cc", "-O2", "-o", stamp, lib.SOURCE / "tests/lib/stamp.c"], check=True)
        self.service = lib.Faulty("--virtual-rate", 1000)
        self.receiver = peers.Receiver([stamp, "prometheus", self.stamps])
        self.parts = [self.receiver]
        folders = {name: self.place / name for name in ("prometheus", "stalk", "incidentd")}
        for folder in folders.values():
            folder.mkdir()
        self.prometheus = peers.Prometheus(folders["prometheus"], f"127.0.0.1:{self.service.port}", self.receiver.url)
        self.parts.append(self.prometheus)
        self.labels = ["incidentd", "prometheus"]
        if with_stalk:
            self.parts.append(peers.pt_stalk(folders["stalk"], self.service.url, stamp, self.stamps))
            self.labels.append("pt-stalk")
        self.daemon = lib.Daemon(folders["incidentd"], CONFIG.format(
            pid=self.service.pid, url=self.service.url, stamp=stamp, stamps=self.stamps))
        self.daemon.start()

    def since(self, at_ns):
        """The first stamp of each after a moment."""
        first = {}
        for line in self.stamps.read_text().splitlines():
            label, stamp = line.split()
            if int(stamp) >= at_ns:
                first.setdefault(label, int(stamp))
        return first

    def quiet(self):
        return self.prometheus.quiet() and not any(i["open"] for i in self.daemon.incidents())

    def fault(self, ratio):
        """Switches the ratio; returns the moment."""
        before = time.time_ns()
        self.service.fault(error_ratio=ratio)
        return before

    def round(self, ratio):
        """Delays in seconds by label; None where nothing was seen."""
        lib.wait_for(self.quiet, "everybody to be quiet", 120, 0.5)
        time.sleep(4 + random.random())  # healthy for a while, then at a random phase
        stray = self.since(time.time_ns() - 3_000_000_000)
        at_ns = self.fault(ratio)
        end = time.monotonic() + ROUND_S
        while len(self.since(at_ns)) < len(self.labels) and time.monotonic() < end:
            time.sleep(0.02)
        self.fault(0)
        seen = self.since(at_ns)
        if stray:
            print(f"  started without a fault: {', '.join(stray)}")
        return {label: (seen[label] - at_ns) / 1e9 if label in seen else None for label in self.labels}

    def stop(self):
        self.daemon.stop()
        for part in reversed(self.parts):
            part.stop()
        self.service.stop()


def report(name, rounds, labels):
    """Prints a table; returns the medians."""
    medians = {}
    print(f"\n{name}, {len(rounds)} rounds        median s   min-max s      ratio to incidentd")
    for label in labels:
        seen = [r[label] for r in rounds if r[label] is not None]
        missed = len(rounds) - len(seen)
        if not seen:
            print(f"  {label:<24} never")
            continue
        medians[label] = statistics.median(seen)
        ratio = medians[label] / medians.get("incidentd", float("nan"))
        print(f"  {label:<24}     {medians[label]:6.2f}    {min(seen):.2f}-{max(seen):.2f}       {ratio:8.2f}"
              + (f"   not seen: {missed}" if missed else ""))
    return medians


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--only", choices=("error", "outage"))
    parser.add_argument("--without-pt-stalk", action="store_true")
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    choose_bin()
    kinds = {"error": 0.05, "outage": 1.0}
    if options.only:
        kinds = {options.only: kinds[options.only]}
    print(f"incidentd from {lib.BIN.parent.name}, {peers.version('prometheus')}, "
          f"{peers.version('prometheus-alertmanager')}, {peers.version('pt-stalk')}; "
          f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}")
    results, good = {}, True
    with tempfile.TemporaryDirectory(prefix="incidentd-bench-") as place:
        bench = Bench(place, not options.without_pt_stalk)
        try:
            lib.wait_for(bench.prometheus.scrapes, "Prometheus to read the page", 30, 0.5)
            for kind, ratio in kinds.items():
                rounds = []
                for number in range(options.rounds):
                    rounds.append(bench.round(ratio))
                    told = "  ".join(f"{k} {'-' if v is None else format(v, '.2f')}" for k, v in rounds[-1].items())
                    print(f"{kind} {number + 1}: {told}", flush=True)
                results[kind] = rounds
        finally:
            bench.stop()
    for kind, rounds in results.items():
        medians = report({"error": "5 % errors", "outage": "full outage"}[kind], rounds, bench.labels)
        mine = medians.pop("incidentd", float("inf"))
        good = good and mine <= LIMIT_S and mine <= medians.get("prometheus", float("inf"))
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))
    print(f"\nload at the end {os.getloadavg()[0]:.1f}; {'as promised' if good else 'NOT as promised'}: "
          f"a median of at most {LIMIT_S} s, and not above Prometheus'")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
