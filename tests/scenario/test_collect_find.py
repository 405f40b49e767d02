"""Goal: incidentd-collect find names the right process, or says what it looked for and what it saw instead."""
import os
import shutil
import socket
import subprocess
import sys

import daemon as lib
import pytest
import wire


@pytest.fixture
def find(tmp_path):
    made = []

    def run(process):
        plan = wire.Plan(tmp_path, f"targets:\n  t: {{process: {process}}}\n")
        made.append(wire.Run(plan, tmp_path / "staging", "find", target=0))
        os.close(plan.fd)
        return made[-1].answer(timeout=5)
    yield run
    for one in made:
        one.kill()


@pytest.fixture
def sleeper(tmp_path):
    """Two copies of sleep under a name of our own; the first one is the older."""
    program = tmp_path / "my-service"
    shutil.copy("/bin/sleep", program)
    made = [subprocess.Popen([program, "1000", ])]
    lib.wait_for(lambda: os.sysconf("SC_CLK_TCK") and wire.start_ticks(made[0].pid) < now_ticks(), "a clock tick")
    made.append(subprocess.Popen([program, "1001"]))
    yield program, made
    for one in made:
        one.kill()
        one.wait()


def now_ticks():
    with open("/proc/uptime") as f:
        return int(float(f.read().split()[0]) * os.sysconf("SC_CLK_TCK")) - 2


def test_by_executable_the_oldest(find, sleeper):
    program, processes = sleeper
    answer = find(f"{{exe: {program}}}")
    assert answer["status"] == 0 and answer["pid"] == processes[0].pid, answer
    assert answer["start_ticks"] == wire.start_ticks(processes[0].pid)
    assert answer["name"] == str(program) and answer["text"] == "native"


def test_by_a_replaced_executable(find, sleeper):
    program, processes = sleeper
    program.unlink()
    assert find(f"{{exe: {program}}}")["pid"] == processes[0].pid


def test_by_name_arguments_number_and_pidfile(find, sleeper, tmp_path):
    _, processes = sleeper
    assert find("{comm: my-service}")["pid"] == processes[0].pid
    assert find('{cmdline: "my-service 1001"}')["pid"] == processes[1].pid
    assert find(f"{{pid: {processes[1].pid}}}")["pid"] == processes[1].pid
    (tmp_path / "service.pid").write_text(f"{processes[1].pid}\n")
    assert find(f"{{pidfile: {tmp_path}/service.pid}}")["pid"] == processes[1].pid


@pytest.mark.parametrize("family, address", [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_by_port(find, family, address):
    try:
        listener = socket.socket(family)
        listener.bind((address, 0))
    except OSError:
        pytest.skip("no such address family here")
    with listener:
        listener.listen()
        answer = find(f"{{port: {listener.getsockname()[1]}}}")
        assert answer["pid"] == os.getpid(), answer
        assert answer["text"] == "python", answer


def test_none_says_what_was_looked_for(find, sleeper):
    answer = find("{exe: /opt/elsewhere/my-service}")
    assert answer["status"] == -3 and "/opt/elsewhere/my-service" in answer["text"], answer
    assert str(sleeper[0]) in answer["text"], "the same name elsewhere is told"
    answer = find(f"{{port: {lib.free_port()}}}")
    assert answer["status"] == -3 and "nothing listens" in answer["text"], answer
    answer = find("{pidfile: /nonexistent/x.pid}")
    assert answer["status"] == -3 and "pidfile" in answer["text"], answer


def test_a_zombie_is_not_found(find, tmp_path):
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    lib.wait_for(lambda: open(f"/proc/{child.pid}/stat").read().rsplit(")", 1)[1].split()[0] == "Z", "the child to end")
    assert find(f"{{pid: {child.pid}}}")["status"] == -3
    child.wait()
