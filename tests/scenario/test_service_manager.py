"""Goal: a service manager is told what incidentd does, feeds on its watchdog only while the brain turns, and can end it
at any time without losing what runs."""
import os
import re
import signal
import socket
import time

import pytest
from daemon import let_through, target_config, wait_for

COLLECTORS = """
collectors:
  perf: {duration: 1s}
  slow: {type: exec, argv: [/bin/sh, -c, "sleep 15"], deadline: 20s}
"""


class Manager:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, place):
        self.path = f"{place}/notify"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        os.chmod(self.path, 0o666)
        self.socket.setblocking(False)
        self.heard = []  # (monotonic seconds, message)

    def listen(self):
        while True:
            try:
                self.heard.append((time.monotonic(), self.socket.recv(4096).decode()))
            except BlockingIOError:
                return self.heard

    def wait(self, pattern, timeout=10, since=0):
        def found():
            return next((m for t, m in self.listen() if t >= since and re.search(pattern, m, re.M)), None)
        return wait_for(found, f"'{pattern}' on the notify socket", timeout)

    def count(self, pattern, since=0.0):
        return sum(1 for t, m in self.listen() if t >= since and re.search(pattern, m, re.M))


@pytest.fixture
def manager(tmp_path):
    let_through(tmp_path)
    one = Manager(tmp_path)
    yield one
    one.socket.close()


@pytest.mark.quick
def test_the_manager_hears_ready_status_watchdog_reloading_and_stopping(daemon, faulty, manager):
    service = faulty("--virtual-rate", 1000)
    d = daemon(target_config(service), start=False, env={"NOTIFY_SOCKET": manager.path, "WATCHDOG_USEC": "2000000"})
    assert manager.listen() == []
    d.start()
    manager.wait(r"^READY=1$")
    manager.wait(r"^STATUS=1 of 1 targets up")
    fed = time.monotonic()
    wait_for(lambda: manager.count(r"^WATCHDOG=1$", fed) >= 3, "three feedings", 6)
    assert time.monotonic() - fed < 4.5, "once in half of WATCHDOG_USEC"

    asked = time.monotonic()
    d.process.send_signal(signal.SIGHUP)
    said = manager.wait(r"^RELOADING=1$", since=asked)
    usec = int(re.search(r"^MONOTONIC_USEC=(\d+)$", said, re.M)[1])
    assert asked * 1e6 - 1e3 <= usec <= time.monotonic() * 1e6
    manager.wait(r"^READY=1$", since=asked)

    asked = time.monotonic()
    d.config.write_text("nonsense: 1\n")
    d.process.send_signal(signal.SIGHUP)
    manager.wait(r"^RELOADING=1$", since=asked)
    manager.wait(r"^READY=1\nSTATUS=reload refused", since=asked)

    d.process.terminate()
    manager.wait(r"^STOPPING=1$")
    assert d.process.wait(20) == 0


def test_without_a_watchdog_wanted_none_is_fed(daemon, faulty, manager):
    service = faulty("--virtual-rate", 1000)
    d = daemon(target_config(service), env={"NOTIFY_SOCKET": manager.path})
    manager.wait(r"^READY=1$")
    d.wait_polls(3)
    assert manager.count("WATCHDOG") == 0
    assert "NOTIFY_SOCKET" not in open(f"/proc/{d.pid_of('incidentd-brain')}/environ").read()


def test_a_hung_brain_feeds_no_watchdog_and_is_started_anew(daemon, faulty, manager):
    service = faulty("--virtual-rate", 1000)
    d = daemon(target_config(service), env={"NOTIFY_SOCKET": manager.path, "WATCHDOG_USEC": "2000000"})
    manager.wait(r"^WATCHDOG=1$")
    brain = d.pid_of("incidentd-brain")
    hung = time.monotonic()
    os.kill(brain, signal.SIGSTOP)
    wait_for(lambda: manager.listen() and d.pid_of("incidentd-brain") not in (None, brain), "a new brain", 22)
    late = [t - hung for t, m in manager.heard if m == "WATCHDOG=1" and 4 < t - hung < 14]
    assert late == [], "a brain that does not turn is not vouched for"
    assert "the brain has been silent" in d.text()
    d.wait_ready()
    back = time.monotonic()
    manager.wait(r"^WATCHDOG=1$", since=back)
    d.wait_polls(2)


def test_a_killed_brain_is_started_anew_at_once(daemon, faulty):
    service = faulty("--virtual-rate", 1000)
    d = daemon(target_config(service))
    brain = d.pid_of("incidentd-brain")
    d.kill(brain)
    wait_for(lambda: d.pid_of("incidentd-brain") not in (None, brain), "a new brain", 2)
    d.wait_ready()


def test_sigterm_during_a_capture_seals_it_in_time(daemon, faulty):
    service = faulty("--virtual-rate", 1000)
    d = daemon(target_config(service, "    capture: [proc, slow]\n", collectors=COLLECTORS),
               extra="process: {shutdown_timeout: 8s}\n")
    d.wait_polls(2)
    service.fault(error_ratio=0.2)
    wait_for(lambda: d.pid_of("sleep"), "the slow collector", 20)
    capture = wait_for(d.captures, "the capture in the list", 5)[0]
    begun = time.monotonic()
    assert d.stop() == 0
    assert time.monotonic() - begun < 8
    assert d.bundle(capture).exists(), "sealed before the end"
    manifest = d.verify(capture)
    assert manifest["partial"] and "told to stop" in manifest["partial_why"]
    assert [a for a in manifest["artifacts"] if a["collector"] == "proc" and a["status"] == "ok"]


def test_sigterm_while_idle_ends_at_once(daemon, faulty):
    service = faulty("--virtual-rate", 1000)
    d = daemon(target_config(service))
    begun = time.monotonic()
    assert d.stop() == 0
    assert time.monotonic() - begun < 3


def test_a_second_daemon_on_the_store_ends_and_names_the_first(daemon, faulty):
    service = faulty("--virtual-rate", 1000)
    first = daemon(target_config(service))
    second = daemon(target_config(service), start=False, extra=f"store: {{path: {first.store}, min_free: 0%}}\n")
    second.start(ready=False)
    assert second.process.wait(10) == 1
    assert f"in use by incidentd with pid {first.process.pid}" in second.text()
    assert "its own store.path" in second.text()
    assert first.status("/-/ready") == 200
    assert first.stop() == 0
    second.start()
    assert second.status("/-/ready") == 200, "the store is free again"


@pytest.mark.parametrize("break_it, told", [
    (lambda d: d.config.unlink(), "cannot open the configuration"),
    (lambda d: d.config.write_text("targets: {}\n"), "targets"),
    (lambda d: (d.config.unlink(), d.config.mkdir()), "not a regular file"),
])
def test_what_cannot_start_ends_with_1_and_says_why(daemon, faulty, break_it, told):
    d = daemon("targets: {a: {metrics: 'http://127.0.0.1:1/metrics'}}\n", start=False)
    break_it(d)
    d.start(ready=False)
    assert d.process.wait(10) == 1
    assert told in d.text() and "cannot start" in d.text()
