"""Goal: whatever a tool does, its run ends by the deadline and no process of it lives on."""
import os
import pathlib
import signal

import daemon as lib
import pytest
import wire

STUBBORN = """#!/bin/sh
# Two forks and a new session; nothing but SIGKILL ends it. Its grandchildren do the same.
trap '' TERM INT HUP
(setsid sh -c 'trap "" TERM INT HUP; echo $$ > stubborn.pid; (setsid sh -c "trap \\"\\" TERM INT; echo \\$\\$ > deep.pid; while :; do sleep 1000; done" &) ; while :; do sleep 1000; done' &)
echo started
%s
"""
STAYS = "while :; do sleep 1000; done"


@pytest.fixture
def exec_run(tmp_path):
    """run(script) as an exec collector with deadline 4 s; returns the run."""
    made = []

    def run(script, options="deadline: 4s", phase="sample", **fields):
        tool = tmp_path / f"tool{len(made)}"
        tool.write_text(script)
        tool.chmod(0o755)
        plan = wire.Plan(tmp_path, f"""
targets:
  t: {{process: {{pid: {os.getpid()}}}}}
collectors:
  tool: {{type: exec, argv: [{tool}], {options}}}
""")
        made.append(wire.Run(plan, tmp_path / "staging" / "c", target=0, collector=0, phase=wire.PHASES[phase],
                             run=len(made), pid=os.getpid(), start_ticks=wire.start_ticks(os.getpid()), **fields))
        os.close(plan.fd)
        return made[-1]
    yield run
    for one in made:
        one.kill()


def alive(pid):
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat[stat.rindex(")") + 2] not in "ZX"


def pids(run):
    def read():
        files = [run.staging / "artifacts/tool" / name for name in ("stubborn.pid", "deep.pid")]
        texts = [f.read_text().strip() for f in files if f.exists()]
        return [int(t) for t in texts] if len(texts) == 2 and all(texts) else None
    return lib.wait_for(read, "the tool to have forked", timeout=5)


def test_a_tool_that_escapes_and_ignores_sigterm_is_killed_at_the_deadline(exec_run):
    run = exec_run(STUBBORN % STAYS)
    tree = pids(run)
    answer = run.answer(timeout=8)
    assert answer["outcome"] == "timed_out", answer
    assert answer["ended_ms"] - answer["started_ms"] < 6000, "later than incidentd waits"
    assert not any(alive(pid) for pid in tree)
    artifacts = run.artifacts()
    assert artifacts["tool/output.txt"]["status"] == "partial"
    assert run.read("tool/output.txt") == b"started\n"


def test_a_tool_that_leaves_a_daemon_behind_is_cleaned_up_at_its_end(exec_run):
    run = exec_run(STUBBORN % "while [ ! -s deep.pid ]; do :; done")
    tree = pids(run)
    answer = run.answer(timeout=8)
    assert answer["outcome"] == "done", answer
    assert not any(alive(pid) for pid in tree)


def test_a_lost_lifeline_kills_the_whole_tree(exec_run):
    run = exec_run(STUBBORN % STAYS, options="deadline: 60s")
    tree = pids(run)
    run.socket.close()
    assert run.process.wait(2) == 1
    assert not any(alive(pid) for pid in tree)


def test_sigterm_ends_even_a_stubborn_tree_within_two_seconds(exec_run):
    run = exec_run(STUBBORN % STAYS, options="deadline: 60s")
    tree = pids(run)
    run.process.send_signal(signal.SIGTERM)
    assert run.answer(timeout=2)["outcome"] == "interrupted"
    assert not any(alive(pid) for pid in tree)


def test_output_is_capped_and_marked(exec_run):
    run = exec_run("#!/bin/sh\nyes\n", options="max_bytes: 64KiB")
    answer = run.answer()
    artifact = run.artifacts()["tool/output.txt"]
    assert artifact["truncated"] and artifact["status"] == "partial", artifact
    assert len(run.read("tool/output.txt")) == 64 << 10
    assert answer["outcome"] == "partial"


def test_links_and_unsafe_names_are_left_out_and_said(exec_run):
    run = exec_run("#!/bin/sh\nln -s /etc/passwd link; echo a > '-bad name'; echo b > good; mkdir d; echo c > d/deep\n")
    answer = run.answer()
    artifacts = run.artifacts()
    assert artifacts["tool/good"]["status"] == "ok" and artifacts["tool/d/deep"]["status"] == "ok"
    assert "2 files left out" in artifacts["tool/left-out"]["error"]
    assert not any("link" in name or "bad" in name for name in artifacts), artifacts
    assert answer["outcome"] == "done"


def test_what_the_tool_says_on_stderr_is_the_reason(exec_run):
    run = exec_run("#!/bin/sh\necho no such queue >&2; exit 3\n")
    answer = run.answer()
    assert answer["outcome"] == "failed" and "no such queue" in answer["text"], answer
    assert run.artifacts()["tool/output.txt"]["exit"] == "exit status 3"


def test_a_missing_tool_is_skipped_with_its_name(exec_run, tmp_path):
    run = exec_run("#!/nonexistent/interpreter\n")
    answer = run.answer()
    assert answer["outcome"] == "failed" and "cannot start" in answer["text"], answer


def test_a_tool_has_no_privilege_and_no_secret(exec_run):
    os.environ["INCIDENT_TEST_SECRET"] = "hunter2"
    run = exec_run("#!/bin/sh\nenv; cat /proc/self/status; ls -l /proc/self/fd\n")
    assert run.answer()["outcome"] == "done"
    text = run.read("tool/output.txt").decode()
    assert "hunter2" not in text
    assert "NoNewPrivs:\t1" in text and "CapEff:\t0000000000000000" in text
    assert "socket:" not in text and "memfd" not in text
