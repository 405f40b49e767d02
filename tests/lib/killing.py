"""Rounds of kill -9: one daemon and one service, over which dip after dip is raised; at the wanted moment processes
are killed, and then all that was promised is checked."""
import contextlib
import gzip
import http.server
import json
import os
import pathlib
import signal
import threading
import time

from daemon import Daemon, Faulty, ours, wait_for

PROMISE_S = 2  # within this no target is stopped and no orphan lives
QUIET = {"incidentd", "incidentd-brain"}

COLLECTORS = """
collectors:
  perf: {duration: 300ms}
  strace: {duration: 300ms, trace: 200ms, allow_pause: true}
  slow: {type: exec, argv: [/bin/sh, -c, "setsid sleep 300 & sleep 0.6; echo {target.pid}"], deadline: 5s}
"""
BIG = """\
  big: {type: exec, argv: [/usr/bin/head, -c, 64M, /dev/urandom], deadline: 10s, max_bytes: 128MiB}
"""
LEAN = "[proc, perf, slow, strace]"
RICH = "[proc, perf, pprof, slow, big, strace]"


def children(pid):
    """Direct children, without a scan of /proc: cheap enough for a loop without a pause."""
    with contextlib.suppress(OSError):
        return [int(p) for p in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def tree(pid):
    """Every process below `pid` with its start time, which tells it from a later one of that number."""
    found, open_ = {}, children(pid)
    while open_:
        one = open_.pop()
        found[one] = started(one)
        open_ += children(one)
    return found


def stat(pid):
    text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    return text[text.rindex(")") + 2:].split()


def started(pid):
    with contextlib.suppress(OSError):
        return stat(pid)[19]
    return None


def lives(pid, start):
    with contextlib.suppress(OSError):
        fields = stat(pid)
        return fields[19] == start and fields[0] not in "ZX"
    return False


def command(pid):
    """Program and first argument, as they stand in the command line."""
    with contextlib.suppress(OSError):
        words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        words = [w.decode(errors="replace") for w in words if w]
        return " ".join([os.path.basename(words[0]), *words[1:2]]) if words else ""
    return ""


def find(pid, wanted):
    """The first process below `pid` whose program (and first argument, when told) is `wanted`; not those that are
    yet to exec, whose command line is still their parent's."""
    short_lived = wanted.startswith(("incidentd-sealer", "incidentd-config"))  # and direct children
    for one in children(pid) if short_lived else tree(pid):
        if (command(one) + " ").startswith(wanted + " "):
            return one
    return None


# A heap profile of 60 MB of fields that no reader knows, 60 KB to fetch: so that explain can be hit.
SLOW_HEAP = gzip.compress((b"\xa2\x01\x80\x80\x3c" + bytes(0x3c << 14)) * 60, 1)


class Pprof:
    """A pprof page where everything takes a while and but the heap is not there: so that incidentd-fetch can be
    hit."""

    def __init__(self, delay):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                threading.Event().wait(delay)
                with contextlib.suppress(OSError):
                    if not self.path.endswith("/heap"):
                        self.send_error(404)
                        return
                    self.send_response(200)
                    self.end_headers()
                    self.wfile.write(SLOW_HEAP)

            def log_message(self, *_):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/debug/pprof"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class Journal:
    """The journal of one rule's capture, watched without a pause."""

    def __init__(self, store, rule):
        self.store = store
        self.folder = store / "journal"
        self.rule = rule
        self.id = None
        self.steps = set()
        self.length = 0
        self.gone = False

    def look(self):
        """Reads what is new. True while there is anything of the capture on the disk."""
        if self.id is None:
            for name in os.listdir(self.folder):
                if f"_{self.rule}_" in name:
                    self.id = name.removeprefix(".").removesuffix(".tmp").removesuffix(".jsonl")
                    self.path = self.folder / f"{self.id}.jsonl"
                    self.steps.add("begins")
        if self.id is not None and not self.gone:
            try:
                if os.stat(self.path).st_size != self.length:
                    self.read()
            except FileNotFoundError:
                self.gone = "trigger" in self.steps
        return self.id is not None

    def read(self):
        text = self.path.read_bytes()
        self.length = len(text)
        for line in text.split(b"\n")[:-1]:
            one = json.loads(line)
            self.steps.add(one["step"])
            if one["step"] == "phase":
                self.steps.add("phase " + one["text"])

    def reached(self, step):
        """`step` of the journal, or one of those that show on the disk only."""
        if not self.look():
            return False
        bundles = self.store / "bundles"
        if step == "packing":
            return os.path.exists(bundles / f".{self.id}.tmp") or self.gone
        if step == "beside":
            return os.path.exists(bundles / f"{self.id}.manifest.json")
        if step == "listed":
            return os.path.exists(bundles / f"{self.id}.tar.zst")
        if step == "unjournalled":
            return self.gone
        return step in self.steps or self.gone


class House:
    """The daemon, the service, and a rule of a new name for each round, so that each has an incident of its own."""

    def __init__(self, place, capture, pprof_delay=0.05):
        self.service = Faulty("--virtual-rate", 1000)
        self.pprof = Pprof(pprof_delay)
        self.capture = capture
        self.round = 0
        self.kills = {}
        self.daemon = Daemon(place, self.text(), extra="limits: {per_incident: 100, per_hour: 1000, per_day: 10000}\n")
        try:
            self.daemon.start()
        except BaseException:
            self.stop()
            raise

    def text(self):
        return f"""
targets:
  checkout:
    process: {{pid: {self.service.pid}}}
    metrics: {self.service.url}/metrics
    pprof: {self.pprof.url}
    interval: 250ms
    startup_grace: 0s
rules:
  - name: r{self.round}
    target: checkout
    slo:
      objective: 0.999
      good: http_requests_total{{code!~"5.."}}
      total: http_requests_total
    keep_firing_for: 0s
    cooldown: 0s
    capture: {self.capture}
{COLLECTORS}{BIG if 'big' in self.capture else ''}
"""

    def stop(self):
        print(f"killed: {dict(sorted(self.kills.items()))}")
        try:
            self.daemon.stop()
        finally:
            self.service.stop()
            self.pprof.stop()

    def pid(self, program):
        """Of the two that live as long as the daemon; None when it is between two brains."""
        return self.daemon.process.pid if program == "incidentd" else find(self.daemon.process.pid, program)

    def rule(self):
        with contextlib.suppress(OSError, KeyError, ValueError):
            return next((r for r in self.daemon.rules() if r["rule"] == f"r{self.round}"), None)
        return None

    def begin(self):
        """A rule of a new name, seen to be quiet."""
        self.round += 1
        self.daemon.write(self.text())
        if self.daemon.process.poll() is not None:
            self.daemon.start()
        else:
            self.daemon.process.send_signal(signal.SIGHUP)
        wait_for(self.rule, f"rule r{self.round} to be in force", 10)
        self.daemon.wait_polls(2, 10)
        self.journal = Journal(self.daemon.store, f"r{self.round}")

    def dip(self, moment, timeout=40):
        """Raises errors and returns as soon as `moment` is true, which is asked without a pause."""
        self.service.fault(error_ratio=0.3)
        end = time.monotonic() + timeout
        while not moment():
            if time.monotonic() > end:
                raise AssertionError(f"the moment to kill did not come: {self.journal.steps}\n{self.log()}")
        return self

    def log(self):
        return self.daemon.text()[-6000:]

    def kill(self, *pids):
        """Kills these, now, and checks what must hold two seconds later."""
        keeper = self.daemon.process.pid
        brain = self.pid("incidentd-brain")
        doomed = {}
        if keeper not in pids:
            doomed = tree(keeper) if brain in pids else {}
            for pid in pids:
                doomed[pid] = started(pid)
                doomed.update(tree(pid))
        at = time.monotonic()
        for pid in pids:
            self.kills[command(pid)] = self.kills.get(command(pid), 0) + 1
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if keeper in pids:
            self.daemon.process.wait()
        self.after(at, keeper in pids, doomed, check_tracer=bool({keeper, brain} & set(pids)))
        if keeper in pids:
            return
        assert self.daemon.process.poll() is None, f"incidentd has ended\n{self.log()}"
        if brain in pids:
            wait_for(lambda: self.pid("incidentd-brain") not in (None, brain), "a new brain", 5)
        wait_for(lambda: self.daemon.status("/-/ready") == 200, f"/-/ready\n{self.log()}", 10)

    def after(self, at, all_of_them, doomed, check_tracer):
        def left():
            return max(at + PROMISE_S - time.monotonic(), 0)

        def orphans():
            if all_of_them:
                return ours(self.daemon.place, self.daemon.process.pid)
            return {p: command(p) for p, start in doomed.items() if lives(p, start)}
        try:
            wait_for(lambda: not orphans(), "no orphan to live", left())
        except AssertionError:
            raise AssertionError(f"{PROMISE_S} s later there live {orphans()}\n{self.log()}") from None
        wait_for(lambda: not self.stopped(check_tracer), "the target not to be stopped", left())

    def stopped(self, check_tracer):
        """Threads of the target that stand still, or are traced by whom there should not be."""
        found = []
        for task in os.listdir(f"/proc/{self.service.pid}/task"):
            with contextlib.suppress(OSError):
                status = pathlib.Path(f"/proc/{self.service.pid}/task/{task}/status").read_text()
                fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
                if fields["State"][0] in "Tt" or (check_tracer and fields["TracerPid"] != "0"):
                    found.append((task, fields["State"], fields["TracerPid"]))
        return found

    def settle(self, partial=None):
        """Starts the daemon when it is dead, and checks that every journalled trigger became a sound bundle and that
        nothing is left behind. `partial`: what the round's bundle must be."""
        d = self.daemon
        self.service.fault(error_ratio=0)
        self.journal.look()
        journalled = {n.removesuffix(".jsonl") for n in os.listdir(d.store / "journal") if n[0] != "."}
        if "trigger" in self.journal.steps:
            journalled.add(self.journal.id)
        if d.process.poll() is not None:
            d.start()
        wait_for(lambda: not os.listdir(d.store / "journal") and not os.listdir(d.store / "staging"),
                 f"journal and staging to empty\n{self.log()}", 60, 0.01)
        listed = {}

        def all_listed():
            listed.update({c["id"]: c for c in d.captures()})
            return all(listed.get(one, {}).get("state") in ("sealed", "partial") for one in journalled)
        try:
            wait_for(all_listed, "all that was journalled to be listed", 5)
        except AssertionError:
            raise AssertionError(f"of {journalled} are listed only {listed}\n{self.log()}") from None
        manifests = {one: self.verify(listed[one]) for one in journalled}
        if partial is not None and self.journal.id in journalled:
            assert listed[self.journal.id]["state"] == ("partial" if partial else "sealed"), self.log()
        assert [n for n in os.listdir(d.store / "bundles") if n.endswith(".tmp")] == []
        wait_for(lambda: set(ours(d.place, d.process.pid).values()) <= QUIET, "only incidentd and its brain to live", 5)
        for one in journalled:
            d.api(f"/api/v1/captures/{one}", "DELETE")
        return manifests.get(self.journal.id)

    def verify(self, capture):
        manifest = self.daemon.verify(capture)
        assert manifest["id"] == capture["id"]
        assert manifest["partial"] == (capture["state"] == "partial")
        assert bool(manifest["partial_why"]) == manifest["partial"], manifest["partial_why"]
        assert f"_{manifest['rule']['name']}_" in capture["id"]
        assert manifest["target"]["name"] == "checkout" and manifest["target"]["pid"] == self.service.pid
        assert manifest["trigger"]["wall_ms"] > 0 and manifest["trigger"]["boot_id"] and manifest["incident"]
        if manifest["rule"]["kind"] == "slo":
            assert manifest["counts"]["bad"] >= 3 and manifest["rule"]["objective"] == 0.999
        return manifest
