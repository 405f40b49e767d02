"""Goal: kill -9 of any program at any step loses no journalled trigger, breaks no listed bundle, leaves no target
stopped and no orphan alive within two seconds."""
import os
import random
import signal
import time

import daemon as lib
import killing
import pytest
import wire
from killing import House, find

# What the journal knows (watchdog/journal.h), and between them what shows on the disk: a journal not yet in place,
# a bundle being packed, side files before the bundle, the bundle listed, the journal gone but not staging.
STEPS = ["begins", "trigger", "begun", "phase instant", "phase sample", "phase after", "phase trace", "run", "sealing",
         "packing", "beside", "listed", "packed", "unjournalled"]
COLLECTING = STEPS[1:8]  # killed here, the bundle is partial


def make_house(factory, capture):
    place = factory.mktemp("house")
    lib.let_through(place)
    return House(place, capture)


@pytest.fixture(scope="module")
def lean(tmp_path_factory):
    house = make_house(tmp_path_factory, killing.LEAN)
    yield house
    house.stop()


@pytest.fixture(scope="module")
def rich(tmp_path_factory):
    house = make_house(tmp_path_factory, killing.RICH)
    yield house
    house.stop()


def kill_at_step(house, step, programs):
    house.begin()
    pids = [house.pid(p) for p in programs]
    house.dip(lambda: house.journal.reached(step))
    house.kill(*pids)
    house.settle(partial=True if step in COLLECTING else None)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("program", ["incidentd", "incidentd-brain"])
def test_killed_at_a_journal_step(lean, program, step):
    kill_at_step(lean, step, [program])


@pytest.mark.parametrize("step", ["trigger", "phase sample", "sealing", "listed"])
def test_both_are_killed_at_a_journal_step(lean, step):
    kill_at_step(lean, step, ["incidentd", "incidentd-brain"])


def kill_running(house, wanted, *others, rounds=4):
    """Kills the first process of that command line that a dip brings, and `others` with it. What lives for some
    milliseconds only may be over before it is seen: then the next dip gives another chance."""
    for _ in range(rounds):
        house.begin()
        pids = [house.pid(p) for p in others]
        found = []

        def moment(found=found):
            house.journal.look()
            one = find(house.daemon.process.pid, wanted)
            if one is not None and house.journal.id is not None:
                found.append(one)
            return found or house.journal.gone
        house.dip(moment)
        if found:
            house.kill(*found, *pids)
            return
        house.settle(partial=False)
    raise AssertionError(f"in {rounds} captures no '{wanted}' was seen running")


@pytest.mark.parametrize("tool", ["incidentd-collect run", "incidentd-collect copy", "perf record", "perf script",
                                  "strace", "sh"])
def test_a_tool_or_its_supervisor_is_killed_while_it_runs(lean, tool):
    kill_running(lean, tool)
    lean.settle(partial=None if tool == "incidentd-collect run" else False)


@pytest.mark.parametrize("tool", ["incidentd-fetch", "head"])
def test_a_fetch_or_a_big_writer_is_killed_while_it_runs(rich, tool):
    kill_running(rich, tool)
    rich.settle(partial=False)


@pytest.mark.parametrize("phase", ["sample", "trace"])
@pytest.mark.parametrize("with_brain", [False, True])
def test_a_supervisor_is_killed_in_a_phase(lean, phase, with_brain):
    lean.begin()
    brain = [lean.pid("incidentd-brain")] if with_brain else []
    tool = {"sample": "sleep", "trace": "strace"}[phase]
    found = []

    def moment():
        lean.journal.look()
        found.clear()
        for one in killing.children(lean.daemon.process.pid):
            if any(killing.command(p).split(" ")[0] == tool for p in killing.tree(one)):
                found.append(one)
        return f"phase {phase}" in lean.journal.steps and found
    lean.dip(moment)
    lean.kill(found[0], *brain)
    lean.settle(partial=True)


@pytest.mark.parametrize("verb", ["explain", "pack"])
def test_the_sealer_is_killed(rich, verb):
    kill_running(rich, f"incidentd-sealer {verb}")
    rich.settle(partial=False)


def test_what_cannot_be_packed_twice_is_packed_at_the_next_start(rich):
    rich.begin()
    rich.dip(lambda: rich.journal.look())
    killed = set()
    while "lost-pending" not in rich.journal.steps:
        one = find(rich.daemon.process.pid, "incidentd-sealer pack")
        if one is not None and one not in killed:
            killed.add(one)
            rich.kill(one)
        rich.journal.look()
        assert not rich.journal.gone, rich.log()
    assert len(killed) == 2
    rich.kill(rich.pid("incidentd-brain"))
    rich.settle(partial=False)


def test_the_configuration_is_being_read(lean):
    """A killed incidentd-config is a refused reload: the old one stays, and the next reload is fine."""
    lean.begin()
    refused = lean.daemon.metric("incidentd_config_reload_failures_total")
    tries = 0
    while lean.daemon.metric("incidentd_config_reload_failures_total") == refused:
        tries += 1
        assert tries < 200, "it always ends before it is hit"
        lean.daemon.process.send_signal(signal.SIGHUP)
        end = time.monotonic() + 0.05
        reader = None
        while reader is None and time.monotonic() < end:
            reader = find(lean.daemon.process.pid, "incidentd-config")
        if reader is not None:
            lean.kill(reader)
    assert lean.rule()
    kill_at_step(lean, "listed", [])


def test_strace_and_its_supervisor_are_killed_while_it_attaches(tmp_path, faulty):
    """At instants from its start on, a third of a millisecond apart: none leaves the target stopped."""
    service = faulty("--virtual-rate", 1000)
    plan = wire.Plan(tmp_path, f"""
targets:
  t: {{process: {{pid: {service.pid}}}}}
collectors:
  strace: {{duration: 500ms, trace: 0s, allow_pause: true}}
""")
    for number in range(24):
        run = wire.Run(plan, tmp_path / "staging" / "c", target=0, collector=0, phase=wire.PHASES["trace"], run=number,
                       pid=service.pid, start_ticks=wire.start_ticks(service.pid))
        tool = None
        while tool is None:
            tool = find(run.pid, "strace")
            assert run.process.poll() is None
        end = time.monotonic() + number // 2 / 3000
        while time.monotonic() < end:
            pass
        os.kill(run.pid if number % 2 else tool, 9)
        at = time.monotonic()
        lib.wait_for(lambda tool=tool: not killing.lives(tool, killing.started(tool)), "strace to be gone",
                     killing.PROMISE_S)
        lib.wait_for(lambda: service.state() not in "Tt", "the target to run", at + killing.PROMISE_S - time.monotonic())
        assert service.fault(error_ratio=0) == 200
        run.kill()
    os.close(plan.fd)


@pytest.mark.parametrize("program", ["incidentd", "incidentd-brain"])
def test_the_recovery_is_killed_as_well(lean, program):
    """At the first sign of it, while it packs, when the bundle is listed and when the journal is gone."""
    lean.begin()
    pid = lean.pid(program)
    lean.dip(lambda: lean.journal.reached("phase sample"))
    lean.kill(pid)
    lean.service.fault(error_ratio=0)
    for step in ("packing", "packing", "beside", "listed", "unjournalled"):
        lean.journal.gone = False
        if lean.daemon.process.poll() is not None:
            lean.daemon.start(ready=False)
        before = time.monotonic()
        while not lean.journal.reached(step) and time.monotonic() < before + 10:
            pass
        pid = lean.pid(program)
        if pid is not None:
            lean.kill(pid)
    lean.settle(partial=True)


def test_staging_whose_journal_is_gone_keeps_the_facts_of_its_trigger(lean):
    lean.begin()
    pid = lean.pid("incidentd")
    lean.dip(lambda: lean.journal.reached("phase sample"))
    lean.kill(pid)
    os.unlink(lean.journal.path)
    manifest = lean.settle(partial=True)
    assert "base.json" in manifest["partial_why"]
    assert manifest["files"] == [f for f in manifest["files"] if f["path"] == "report.json"]


def test_killed_while_it_starts(lean):
    """Twelve times, a few milliseconds apart, with a capture to be recovered: nothing is lost, nothing lives on."""
    lean.begin()
    pid = lean.pid("incidentd")
    lean.dip(lambda: lean.journal.reached("phase sample"))
    lean.kill(pid)
    lean.service.fault(error_ratio=0)
    for number in range(12):
        lean.daemon.start(ready=False)
        end = time.monotonic() + number * 0.004
        while time.monotonic() < end:
            pass
        lean.kill(lean.pid("incidentd"))
    lean.settle(partial=True)


LAST_S = 3  # a capture takes about this long


def running(house):
    """pid by program of what runs now."""
    keeper = house.daemon.process.pid
    found = {"incidentd": keeper}
    for pid in sorted(killing.tree(keeper)):
        found.setdefault(killing.command(pid).split(" ")[0], pid)
    found.pop("", None)
    return found


def test_killed_at_random_instants(rich):
    """Whatever runs at that instant, each program as likely as the other; one time in three the recovery as well."""
    rounds = 100 if os.environ.get("INCIDENTD_FULL") else 8
    seed = int(os.environ.get("INCIDENTD_SEED", random.SystemRandom().randrange(1 << 30)))
    print(f"INCIDENTD_SEED={seed}")
    dice = random.Random(seed)
    for number in range(rounds):
        instant, choice, again = dice.uniform(0, LAST_S), dice.random(), dice.random()
        rich.begin()
        began = []

        def moment(instant=instant, began=began):
            rich.journal.look()
            if not began and "trigger" in rich.journal.steps:
                began.append(time.monotonic())
            return began and time.monotonic() >= began[0] + instant
        rich.dip(moment)
        there = running(rich)
        name = sorted(there)[int(choice * len(there))]
        print(f"round {number}: {instant:.3f} s after the trigger: {name}", "and again" if again < 1 / 3 else "")
        rich.kill(there[name])
        if again < 1 / 3:
            if rich.daemon.process.poll() is not None:
                rich.daemon.start(ready=False)
            end = time.monotonic() + again
            while time.monotonic() < end:
                pass
            rich.kill(running(rich).get("incidentd-brain", rich.daemon.process.pid))
        rich.settle()
