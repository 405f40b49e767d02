"""Goal: kill -9 of any program at any step loses no journalled trigger, breaks no listed bundle, leaves no target
stopped and no orphan alive within two seconds."""
import json
import os
import pathlib
import random

import pytest
from daemon import children_of, name_of, target_config, wait_for

COLLECTORS = """
collectors:
  perf: {duration: 1s}
  strace: {duration: 1s, allow_pause: true}
  slow: {type: exec, argv: [/bin/sh, -c, "setsid sleep 3 & sleep 2; echo {target.pid}"], deadline: 5s}
"""
RULE = "    capture: [proc, perf, strace, slow]\n    cooldown: 0s"
STEPS = ["trigger", "begun", "phase", "run", "sealing", "packed", "listed"]
PROGRAMS = ["incidentd", "incidentd-brain", "incidentd-collect", "incidentd-sealer", "perf", "strace"]


def journalled(d):
    """Every capture id that was ever seen in the journal."""
    return {p.name.removesuffix(".jsonl") for p in (d.store / "journal").glob("*.jsonl")}


def steps_of(d):
    seen = set()
    for path in (d.store / "journal").glob("*.jsonl"):
        try:
            for line in path.read_text().splitlines():
                seen.add(json.loads(line)["step"])
        except (OSError, ValueError, KeyError):
            continue
    return seen


def kill_program(d, program):
    """Kills one process of that name below the daemon; False when there is none now."""
    if program == "incidentd":
        d.kill()
        return True
    for pid in children_of(d.process.pid):
        if name_of(pid) == program:
            d.kill(pid)
            return True
    return False


def check_promise(d, service, ids, orphans_of=()):
    """What must hold within two seconds, and in the end."""
    wait_for(lambda: service.state() in "SRD", "the target not to be stopped", 2)
    wait_for(lambda: not [p for p in orphans_of if os.path.exists(f"/proc/{p}")
                          and pathlib.Path(f"/proc/{p}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"],
             "no orphan to be alive", 4)
    if d.process.poll() is not None:
        d.start()
    wait_for(lambda: not journalled(d), f"the journal to empty: {journalled(d)}", 60)
    listed = {c["id"]: c for c in d.captures()}
    for one in ids:
        assert one in listed, f"{one} is lost; there are {list(listed)}\n{d.text()[-5000:]}"
        d.verify(listed[one])


def run_round(d, service, moment, program):
    service.fault(error_ratio=0.2)
    ids = set()

    def due():
        ids.update(journalled(d))
        return moment()
    wait_for(due, "the moment to kill", 60)
    below = children_of(d.process.pid) if program == "incidentd" else []
    killed = kill_program(d, program)
    ids.update(journalled(d))
    service.fault(error_ratio=0)
    check_promise(d, service, ids, below)
    return killed


@pytest.mark.parametrize("program", ["incidentd", "incidentd-brain"])
@pytest.mark.parametrize("step", STEPS)
def test_killed_at_a_journal_step(daemon, faulty, program, step):
    service = faulty("--virtual-rate", 1000)
    d = daemon(target_config(service, RULE, collectors=COLLECTORS))
    d.wait_polls(2)

    def moment():
        done = step in steps_of(d) or (step in ("packed", "listed") and d.captures()
                                       and d.captures()[0]["state"] != "capturing")
        return done
    run_round(d, service, moment, program)


@pytest.mark.parametrize("program", ["incidentd-collect", "incidentd-sealer", "perf", "strace", "incidentd-fetch"])
def test_killed_while_it_runs(daemon, faulty, program):
    if program == "incidentd-fetch":
        pytest.skip("runs for a Go target: test_checkout kills it")
    service = faulty("--virtual-rate", 1000)
    d = daemon(target_config(service, RULE, collectors=COLLECTORS))
    d.wait_polls(2)
    killed = run_round(d, service, lambda: any(name_of(p) == program for p in children_of(d.process.pid)), program)
    assert killed or program == "incidentd-sealer"


def test_killed_at_random_instants(daemon, faulty):
    rounds = 100 if os.environ.get("INCIDENTD_FULL") else 6
    seed = int(os.environ.get("INCIDENTD_SEED", random.SystemRandom().randrange(1 << 30)))
    print(f"INCIDENTD_SEED={seed}")
    dice = random.Random(seed)
    service = faulty("--virtual-rate", 1000)
    d = daemon(target_config(service, RULE, collectors=COLLECTORS, target_extra=""),
               extra="limits: {per_incident: 100, per_hour: 1000, per_day: 10000}\n")
    for _ in range(rounds):
        wait_for(lambda: d.rules()[0]["state"] == "inactive", "the rule to be quiet")
        program = dice.choice(PROGRAMS)
        ticks = dice.randrange(0, 250)  # of the 20 ms of wait_for: 0 to 5 s after the trigger
        count = [0]

        def moment(count=count, ticks=ticks):
            count[0] += 1 if journalled(d) else 0
            return count[0] > ticks or (count[0] and not journalled(d))
        run_round(d, service, moment, program)
