"""Goal: a Go service gives everything its runtime can say, each artifact opens in its own tool, and the heap growth in
the report is what `go tool pprof` computes."""
import contextlib
import json
import os
import re
import signal
import subprocess
import threading
import urllib.request

import pytest
from daemon import BIN, SOURCE, children_of, name_of, wait_for

COLLECTORS = """
collectors:
  perf: {duration: 1s}
  pprof: {duration: 2s, trace: 1s, fgprof: 1s}
"""


@pytest.fixture(scope="module")
def binary(tmp_path_factory):
    out = tmp_path_factory.mktemp("checkout") / "checkout"
    subprocess.run([SOURCE / "examples/checkout/build.sh", out], check=True, capture_output=True,
                   env=dict(os.environ, GOCACHE=str(SOURCE / "build/.go-cache")))
    return out


class Checkout:
    def __init__(self, binary, folder, *arguments):
        self.gctrace = folder / "gctrace.log"
        self.process = subprocess.Popen([binary, "--listen", "127.0.0.1:0", "--pprof-listen", "127.0.0.1:0",
                                         "--gctrace-log", self.gctrace, *arguments], stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        self.port, self.pprof = re.findall(r":(\d+)", line)[:2]
        self.pid = self.process.pid
        self.going = True
        self.thread = threading.Thread(target=self.drive)
        self.thread.start()

    def drive(self):
        """Light traffic, so that the cache leaks while it is looked at."""
        item = 0
        while self.going:
            item += 1
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/reserve?item={item % 500}", timeout=2).read()

    def stop(self):
        self.going = False
        self.thread.join()
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def config(self, collectors=COLLECTORS):
        return f"""
targets:
  checkout:
    process: {{pid: {self.pid}}}
    metrics: http://127.0.0.1:{self.port}/metrics
    pprof: http://127.0.0.1:{self.pprof}/debug/pprof
    interval: 1s
    startup_grace: 0s
    logs: [{self.gctrace}]
rules:
  - name: availability
    target: checkout
    slo:
      objective: 0.999
      good: http_requests_total{{code!~"5..",route="/reserve"}}
      total: http_requests_total{{route="/reserve"}}
{collectors}
"""


@pytest.fixture
def checkout(binary, tmp_path):
    made = []

    def make(*arguments):
        made.append(Checkout(binary, tmp_path, *arguments))
        return made[-1]
    yield make
    for service in made:
        service.stop()


def pprof_top(binary, sample, *profiles):
    done = subprocess.run(["go", "tool", "pprof", "-top", "-nodecount=100000", "-nodefraction=0", f"-sample_index={sample}",
                           "-unit=B" if sample.endswith("space") else "-unit=count", *profiles],
                          check=True, capture_output=True, text=True, env=dict(os.environ, PPROF_TMPDIR="/tmp"))
    flat = {}
    for line in done.stdout.splitlines():
        found = re.match(r"\s*(-?[\d.]+)(B)?\s+-?[\d.]+%\s+-?[\d.]+%\s+\S+\s+-?[\d.]+%\s+(.*?)( \(inline\))?$", line)
        if found and float(found.group(1)):
            flat[found.group(3)] = flat.get(found.group(3), 0) + float(found.group(1))
    return flat


def test_every_artifact_of_a_go_service_opens_in_its_own_tool(daemon, checkout, binary):
    service = checkout()
    d = daemon(service.config())
    d.wait_polls(3)
    d.api("/api/v1/captures", "POST", {"target": "checkout"})
    capture = d.wait_capture(lambda c: c["reason"] == "manual")
    manifest = d.verify(capture)
    assert manifest["target"]["runtime"] == "go"
    folder = d.open(capture)
    pprof = folder / "artifacts/pprof"
    for name in ("goroutine", "heap.before", "heap.after", "allocs.before", "threadcreate", "profile", "mutex", "block",
                 "fgprof"):
        subprocess.run(["go", "tool", "pprof", "-raw", pprof / f"{name}.pb.gz"], check=True, capture_output=True)
    assert (pprof / "trace.out").read_bytes().startswith(b"go 1.")
    assert "gc " in next((folder / "artifacts/logs").rglob("*gctrace*")).read_text()
    report = subprocess.run(["perf", "report", "-f", "--stdio", "-i", folder / "artifacts/perf/perf.data"], check=True,
                            capture_output=True, text=True)
    assert "main." in report.stdout or "runtime." in report.stdout
    assert [a for a in manifest["artifacts"] if a["status"] == "failed"] == []

    growth = json.loads((folder / "report.json").read_text())["heap_growth"]
    for sample, key in (("inuse_space", "growth_bytes"), ("inuse_objects", "growth_objects")):
        theirs = pprof_top(binary, sample, "-diff_base", pprof / "heap.before.pb.gz", pprof / "heap.after.pb.gz")
        ours = {row["function"]: row[key] for row in growth["rows"] if row[key]}
        for function, value in ours.items():
            assert theirs.get(function) == pytest.approx(value, rel=0.001, abs=1), (function, theirs)


@pytest.mark.parametrize("program", ["incidentd-fetch", "incidentd-collect"])
def test_killing_a_fetch_loses_one_artifact_not_the_bundle(daemon, checkout, program):
    service = checkout()
    d = daemon(service.config())
    d.wait_polls(3)
    d.api("/api/v1/captures", "POST", {"target": "checkout"})

    def running():
        return next((p for p in children_of(d.process.pid) if name_of(p) == program), None)
    os.kill(wait_for(running, f"{program} to run"), signal.SIGKILL)
    capture = d.wait_capture(lambda c: c["reason"] == "manual")
    d.verify(capture)


def test_the_fixed_service_under_the_same_traffic_does_not_fire(daemon, checkout):
    service = checkout("--fixed")
    d = daemon(service.config())
    d.wait_polls(20)
    assert d.captures() == []


def test_init_writes_a_configuration_that_runs(daemon, checkout, tmp_path):
    service = checkout()
    done = subprocess.run([BIN / "incidentctl", "init", f"http://127.0.0.1:{service.port}/metrics"], check=True,
                          capture_output=True, text=True)
    (tmp_path / "i.yaml").write_text(done.stdout)
    subprocess.run([BIN / "incidentctl", "check", tmp_path / "i.yaml"], check=True, capture_output=True)
    assert "http_requests_total" in done.stdout
