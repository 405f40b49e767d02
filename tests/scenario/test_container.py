"""Goal: as first process of a container incidentd does what PID 1 must: it reaps everybody's orphans, passes signals
on, spares what is not its own, and ends with the daemon's status."""
import os
import pathlib
import signal
import subprocess
import sys

import pytest
from daemon import children_of, free_port, name_of, target_config, wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="makes a PID namespace: needs root")

CONTAINER = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
COLLECTORS = """
collectors:
  perf: {duration: 1s}
"""
TARGET = "targets: {{web: {{metrics: 'http://127.0.0.1:{}/metrics'}}}}\n"


def state(pid):
    """The letter of /proc/PID/stat, or "" when it is gone."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return ""


def parent(pid):
    return int(pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def first(d):
    """Our pid of the container's PID 1, the child of unshare."""
    return next(pid for pid in children_of(d.process.pid) if parent(pid) == d.process.pid)


@pytest.fixture
def container(daemon):
    """Daemons in containers of their own: container(config). They end by a signal to PID 1, as unshare passes none."""
    made = []

    def make(config, wrapper=CONTAINER, **options):
        made.append(daemon(config, wrapper=wrapper, **options))
        return made[-1]
    yield make
    for d in made:
        if d.process is not None and d.process.poll() is None:
            os.kill(first(d), signal.SIGTERM)
            d.process.wait(30)


def orphan_in(d, seconds):
    """A process of somebody else in the container, whose parent has ended: sleeps and exits. Its pid, as we see it."""
    code = f"import os, time\nif os.fork() == 0:\n    os.setsid(); time.sleep({seconds}); os._exit(3)\n"
    subprocess.run(["nsenter", "-t", str(first(d)), "-p", "-m", "--", sys.executable, "-c", code], check=True)
    return wait_for(lambda: next((pid for pid in children_of(d.process.pid)
                                  if parent(pid) == first(d) and name_of(pid).startswith("python")), None),
                    "the orphan to become a child of PID 1", 5)


def test_pid_1_reaps_what_others_leave_and_does_not_kill_it(container):
    d = container(TARGET.format(free_port()))
    assert name_of(first(d)) == "incidentd"
    assert pathlib.Path(f"/proc/{first(d)}/status").read_text().split("NSpid:\t")[1].split()[1] == "1"
    lasting = orphan_in(d, 60)
    brain = d.pid_of("incidentd-brain")
    d.kill(brain)
    wait_for(lambda: d.pid_of("incidentd-brain") not in (None, brain), "a new brain", 5)
    d.wait_ready()
    assert state(lasting) == "S", "somebody else's orphan outlives a sweep of ours"
    os.kill(lasting, signal.SIGTERM)
    wait_for(lambda: state(lasting) == "", "its zombie to be reaped", 5)


def test_sigterm_to_pid_1_seals_a_running_capture_and_ends_with_0(container, faulty):
    service = faulty("--virtual-rate", 1000)
    config = target_config(service, "    capture: [slow]\n", collectors=COLLECTORS + """
  slow: {type: exec, argv: [/bin/sh, -c, "sleep 15"], deadline: 20s}
""").replace(f"    process: {{pid: {service.pid}}}\n", "")
    d = container(config)
    d.wait_polls(2)
    service.fault(error_ratio=0.2)
    wait_for(lambda: d.captures() and d.pid_of("sleep"), "the capture to run", 20)
    capture = d.captures()[0]
    os.kill(first(d), signal.SIGTERM)
    assert d.process.wait(20) == 0
    assert d.verify(capture)["partial"]
    d.assert_nothing_left()


def test_sighup_to_pid_1_reloads(container):
    config = TARGET.format(free_port())
    d = container(config)
    os.kill(first(d), signal.SIGHUP)
    wait_for(lambda: d.metric("incidentd_config_generation") == 2, "generation 2", 10)


def test_what_cannot_start_ends_the_container_with_its_status(container):
    d = container(TARGET.format(free_port()), start=False)
    d.config.write_text("nonsense: 1\n")
    d.start(ready=False)
    assert d.process.wait(10) == 1


def test_a_killed_daemon_below_pid_1_ends_the_container_and_all_in_it(container):
    d = container(TARGET.format(free_port()))
    below = next(pid for pid in children_of(first(d)) if parent(pid) == first(d) and name_of(pid) == "incidentd")
    os.kill(below, signal.SIGKILL)
    assert d.process.wait(10) == 128 + signal.SIGKILL
    d.assert_nothing_left()


def test_it_runs_on_a_read_only_root_with_a_volume_for_the_store(container, faulty, tmp_path):
    service = faulty("--virtual-rate", 1000)
    volume = tmp_path / "volume"
    volume.mkdir(mode=0o755)
    wrapper = [*CONTAINER, "sh", "-c", f'mount -t tmpfs -o size=512m,mode=755 v {volume} && '
                                       'mount -o remount,bind,ro / && exec "$@"', "sh"]
    config = target_config(service, collectors=COLLECTORS).replace(f"    process: {{pid: {service.pid}}}\n", "")
    d = container(config, wrapper=wrapper, extra=f"store: {{path: {volume}/store, min_free: 0%}}\n")
    inside = pathlib.Path(f"/proc/{first(d)}/root")
    assert subprocess.run(["nsenter", "-t", str(first(d)), "-m", "touch", "/anything"], capture_output=True).returncode
    d.wait_polls(2)
    service.fault(error_ratio=0.2)
    capture = d.wait_capture()
    bundle = inside / f"{volume}/store/bundles/{capture['id']}.tar.zst".lstrip("/")
    assert subprocess.run(["zstd", "-q", "-t", "-c", bundle], capture_output=True).returncode == 0
