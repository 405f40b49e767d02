#!/usr/bin/env python3
"""Goal: what watching costs while nothing happens: one target with a page of 2,000 series (242 KB), read each second,
by incidentd and by Prometheus with Alertmanager at the same time.

  idle.py [--seconds N] [--json FILE]

PSS is the median of a sample a second, CPU is what all threads and reaped children used, scaled to a minute. The libraries that
each process maps are printed with the figures. Exit 1 when incidentd takes more than 14 MiB or 0.15 s a minute.
"""
import argparse
import json
import os
import pathlib
import re
import statistics
import sys
import tempfile
import time
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import cost  # noqa: E402
import daemon as lib  # noqa: E402
import peers  # noqa: E402
from detection import choose_bin  # noqa: E402

LIMIT_MIB = 14
LIMIT_CPU_S = 0.15

CONFIG = """targets:
  service:
    process: {{pid: {pid}}}
    metrics: {url}/metrics
    interval: 1s
rules:
  - name: availability
    slo: {{objective: 0.999, good: 'http_requests_total{{code!~"5.."}}', total: http_requests_total}}
"""


class Watched:
    """Samples a group of processes that lives through the measurement."""

    def __init__(self, name, pids):
        self.name, self.pids = name, pids
        self.samples = []

    def begin(self):
        self.cpu = {pid: cost.cpu_seconds(pid) for pid in self.pids}
        self.switched = {pid: cost.switches(pid) for pid in self.pids}
        self.at = time.monotonic()

    def sample(self):
        self.samples.append(sum(cost.memory_kib(pid) for pid in self.pids))

    def end(self):
        self.seconds = time.monotonic() - self.at
        self.minute = {pid: (cost.cpu_seconds(pid) - self.cpu[pid]) * 60 / self.seconds for pid in self.pids}
        self.per_s = sum(cost.switches(pid) - self.switched[pid] for pid in self.pids) / self.seconds
        self.pss = {pid: cost.memory_kib(pid) / 1024 for pid in self.pids}
        self.rss = {pid: cost.memory_kib(pid, "Rss") / 1024 for pid in self.pids}
        self.private = {pid: cost.memory_kib(pid, "Private_Dirty") / 1024 for pid in self.pids}

    def result(self):
        return {"pss_mib": statistics.median(self.samples) / 1024, "pss_max_mib": max(self.samples) / 1024,
                "cpu_s_per_minute": sum(self.minute.values()), "switches_per_s": self.per_s}

    def show(self):
        r = self.result()
        print(f"\n{self.name}: PSS {r['pss_mib']:.1f} MiB (at most {r['pss_max_mib']:.1f}), "
              f"CPU {r['cpu_s_per_minute']:.3f} s a minute, {r['switches_per_s']:.1f} context switches a second")
        for pid in self.pids:
            print(f"  {lib.name_of(pid):<24} PSS {self.pss[pid]:5.1f} MiB, RSS {self.rss[pid]:5.1f}, private dirty {self.private[pid]:4.1f}, "
                  f"CPU {self.minute[pid]:.3f} s a minute\n      {' '.join(cost.libraries(pid)) or 'no library'}")
        return r


def polled(daemon):
    """Polls, failed ones, and bytes read so far, by incidentd's own account."""
    with urllib.request.urlopen(daemon.url + "/metrics", timeout=5) as answer:
        page = answer.read().decode()
    return [sum(float(n) for n in re.findall(rf"^incidentd_{name}_total{{?.* (\S+)$", page, re.M))
            for name in ("polls", "poll_failures", "poll_bytes")]


def measure(groups, seconds):
    for group in groups:
        group.begin()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(1)
        for group in groups:
            group.sample()
    for group in groups:
        group.end()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    choose_bin()
    print(f"incidentd from {lib.BIN.parent.name}, {peers.version('prometheus')}, "
          f"{peers.version('prometheus-alertmanager')}; {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}")
    service = lib.Faulty("--virtual-rate", 1000, "--fault", "pad_series=2000")
    parts = []
    try:
        with tempfile.TemporaryDirectory(prefix="incidentd-bench-") as place:
            place = pathlib.Path(place)
            place.chmod(0o755)
            (place / "prometheus").mkdir()
            (place / "incidentd").mkdir()
            prometheus = peers.Prometheus(place / "prometheus", f"127.0.0.1:{service.port}", "http://127.0.0.1:9/")
            parts.append(prometheus)
            daemon = lib.Daemon(place / "incidentd", CONFIG.format(pid=service.pid, url=service.url))
            parts.insert(0, daemon)
            daemon.start()
            lib.wait_for(prometheus.scrapes, "Prometheus to read the page", 30, 0.5)
            time.sleep(15)  # past start-up: first page, first search of the process
            pids = [daemon.process.pid, *lib.children_of(daemon.process.pid)]
            groups = [Watched("incidentd", pids), Watched("prometheus + alertmanager", prometheus.pids())]
            before = polled(daemon)
            measure(groups, options.seconds)
            polls, failures, read = (b - a for a, b in zip(before, polled(daemon)))
            print(f"\nincidentd polled {polls:.0f} times in {groups[0].seconds:.0f} s and read {read / 1e6:.1f} MB")
            assert failures == 0 and polls > 0.95 * options.seconds and read > 230_000 * polls
            mine, theirs = [group.show() for group in groups]
            assert not daemon.captures(), daemon.captures()
            while parts:
                parts.pop(0).stop()
    finally:
        for part in parts:
            part.stop()
        service.stop()
    good = mine["pss_mib"] <= LIMIT_MIB and mine["cpu_s_per_minute"] <= LIMIT_CPU_S
    print(f"\nprometheus + alertmanager take {theirs['pss_mib'] / mine['pss_mib']:.1f} times the memory and "
          f"{theirs['cpu_s_per_minute'] / mine['cpu_s_per_minute']:.1f} times the CPU; load at the end "
          f"{os.getloadavg()[0]:.1f}\n{'as promised' if good else 'NOT as promised'}: at most {LIMIT_MIB} MiB and "
          f"{LIMIT_CPU_S} s a minute")
    if options.json:
        options.json.write_text(json.dumps({"incidentd": mine, "peers": theirs}, indent=1))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
