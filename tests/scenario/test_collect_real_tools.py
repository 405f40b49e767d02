"""Goal: incidentd-collect runs perf, strace, pprof and /proc against real processes and says truly what came of it."""
import gzip
import os
import pathlib
import signal
import subprocess
import time

import daemon as lib
import pytest
import wire

SYSCALLS = """
#include <unistd.h>
#include <time.h>
__attribute__((noinline)) void spin(void) { for (volatile int i = 0; i < 20000000; i++) {} }
int main(void) { for (;;) { spin(); (void)getppid(); nanosleep(&(struct timespec){0, 200000}, 0); } }
"""
CONFIG = """
targets:
  busy:
    process: {{pid: {pid}}}
    logs: [{log}]
collectors:
  perf: {{duration: 1s}}
  strace: {{duration: 500ms, trace: 300ms, allow_pause: true}}
  echo: {{type: exec, argv: [/bin/echo, "{{target.pid}}", "{{target.name}}", "$(id)", "{{{{x}}}}"]}}
"""


@pytest.fixture(scope="module")
def busy_program(tmp_path_factory):
    folder = tmp_path_factory.mktemp("busy")
    (folder / "busy.c").write_text(SYSCALLS)
    subprocess.run(["cc", "-O1", "-g", "-fno-omit-frame-pointer", "-o", folder / "busy", folder / "busy.c"], check=True)
    return folder / "busy"


@pytest.fixture
def busy(busy_program):
    process = subprocess.Popen([busy_program], env={"SECRET_TOKEN": "hunter2", "PATH": "/bin"})
    yield process
    process.kill()
    process.wait()


def collector_index(config, name):
    """Overrides first, in the file's order, then every kind that was not overridden."""
    own = [line.split(":")[0].strip() for line in config.split("collectors:")[1].splitlines() if line.strip()]
    kinds = ["proc", "perf", "strace", "pprof", "logs", "exec"]
    return (own + [k for k in kinds if k not in own]).index(name)


@pytest.fixture
def bench(tmp_path, busy):
    """run(collector, phase) against the busy process."""
    wire.check_abi()
    log = tmp_path / "app.log"
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    log.write_text("2020-01-01T00:00:00Z old\n" + now + " new\n")
    config = CONFIG.format(pid=busy.pid, log=log)
    plan = wire.Plan(tmp_path, config)
    runs = []

    def run(name, phase, wait=True, pid=busy.pid, **options):
        fields = dict(target=0, collector=collector_index(config, name), phase=wire.PHASES[phase], run=len(runs),
                      pid=pid, start_ticks=wire.start_ticks(pid) if pid == busy.pid else 1)
        runs.append(wire.Run(plan, tmp_path / "staging" / "capture", **{**fields, **options}))
        return (runs[-1], runs[-1].answer()) if wait else runs[-1]
    run.busy = busy
    run.plan = plan
    yield run
    for one in runs:
        one.kill()
    os.close(plan.fd)


def state(pid):
    stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    return stat[stat.rindex(")") + 2]


def tracer(pid):
    return int(pathlib.Path(f"/proc/{pid}/status").read_text().split("TracerPid:")[1].split()[0])


def test_proc_before_and_after_without_a_value_of_the_environment(bench):
    run, answer = bench("proc", "instant")
    assert answer["outcome"] == "done", answer
    bench("proc", "after")
    artifacts = run.artifacts()
    for name in ("status", "limits", "maps", "smaps_rollup", "io", "threads.wchan", "threads.schedstat", "fd",
                 "net.tcp", "mounts", "cgroup"):
        for when in ("before", "after"):
            assert artifacts[f"proc/{when}/{name}"]["status"] == "ok", artifacts[f"proc/{when}/{name}"]
    assert b"SECRET_TOKEN" in run.read("proc/before/environ.names")
    everything = b"".join(p.read_bytes() for p in (run.staging / "artifacts").rglob("*") if p.is_file())
    assert b"hunter2" not in everything


def test_perf_record_and_script(bench):
    run, answer = bench("perf", "sample")
    assert answer["outcome"] == "done", answer
    assert b"spin" in run.read("perf/perf.script.txt")
    report = subprocess.run(["perf", "report", "--stdio", "-i", run.staging / "artifacts/perf/perf.data"],
                            capture_output=True, text=True, check=False)
    assert "spin" in report.stdout, report.stderr
    assert 900 <= answer["ended_ms"] - answer["started_ms"] < 8000


def test_strace_summary_and_trace_with_the_trace_secret(bench):
    run, answer = bench("strace", "trace")
    assert answer["outcome"] == "done", answer
    artifacts = run.artifacts()
    assert b"nanosleep" in run.read("strace/strace.summary.txt")
    assert b"nanosleep" in run.read("strace/strace.trace.txt")
    assert artifacts["strace/strace.trace.txt"]["sensitivity"] == "secret"
    assert tracer(bench.busy.pid) == 0 and state(bench.busy.pid) in "RS"


def test_exec_replaces_placeholders_and_no_shell_reads_it(bench):
    run, answer = bench("echo", "sample")
    assert answer["outcome"] == "done", answer
    assert run.read("echo/output.txt").decode() == f"{bench.busy.pid} busy $(id) {{x}}\n"


def test_logs_start_at_the_age(bench):
    run, answer = bench("logs", "instant")
    assert answer["outcome"] == "done", answer
    text = run.read("logs/before/app.log")
    assert text.endswith(b" new\n") and b"old" not in text


def test_a_stopped_target_is_looked_at_but_not_traced(bench):
    os.kill(bench.busy.pid, signal.SIGSTOP)
    lib.wait_for(lambda: state(bench.busy.pid) == "T", "the target to stop")
    _, proc = bench("proc", "instant")
    run, perf = bench("perf", "sample")
    _, strace = bench("strace", "trace")
    assert proc["outcome"] == "done", proc
    assert perf["outcome"] == "done", perf
    assert strace["outcome"] == "skipped" and "stopped" in strace["text"]
    assert state(bench.busy.pid) == "T", "it must stay as we found it"


def test_a_traced_target_is_not_traced_twice(bench):
    other = subprocess.Popen(["strace", "-q", "-o", "/dev/null", "-p", str(bench.busy.pid)])
    try:
        lib.wait_for(lambda: tracer(bench.busy.pid) != 0, "the other tracer")
        _, answer = bench("strace", "trace")
        assert answer["outcome"] == "skipped" and str(other.pid) in answer["text"], answer
    finally:
        other.terminate()
        other.wait()


def test_kill_9_in_mid_strace_leaves_the_target_running_and_no_orphan(bench):
    run = bench("strace", "trace", wait=False)
    lib.wait_for(lambda: tracer(bench.busy.pid) != 0, "strace to attach")
    below = lib.children_of(run.pid)
    assert below
    run.process.kill()
    run.process.wait()
    lib.wait_for(lambda: tracer(bench.busy.pid) == 0 and state(bench.busy.pid) in "RS", "the target to go on", timeout=2)
    lib.wait_for(lambda: not any(pathlib.Path(f"/proc/{pid}").exists() and state(pid) not in "ZX" for pid in below),
                 "strace to be gone", timeout=2)
    assert [e["event"] for e in run.meta()] == ["start"]


def test_a_lost_lifeline_ends_the_run_at_once(bench):
    run = bench("perf", "sample", wait=False)
    lib.wait_for(lambda: lib.children_of(run.pid), "perf to start")
    below = lib.children_of(run.pid)
    run.socket.close()
    assert run.process.wait(2) == 1
    assert not any(pathlib.Path(f"/proc/{pid}").exists() and state(pid) not in "ZX" for pid in below)
    assert run.meta()[-1]["outcome"] == "interrupted"


def test_sigterm_ends_the_run_politely_and_keeps_what_there_is(bench):
    run = bench("perf", "sample", wait=False)
    data = run.staging / "artifacts/perf/perf.data"
    lib.wait_for(lambda: data.exists() and lib.children_of(run.pid), "perf to start")
    run.process.send_signal(signal.SIGTERM)
    answer = run.answer(timeout=3)
    assert answer["outcome"] == "interrupted"
    assert run.meta()[-1]["event"] == "end"


def test_a_target_that_dies_meanwhile_gives_what_was_sampled(bench):
    run = bench("perf", "sample", wait=False)
    data = run.staging / "artifacts/perf/perf.data"
    lib.wait_for(lambda: data.exists() and data.stat().st_size > 0 and lib.children_of(run.pid), "perf to start")
    bench.busy.kill()
    bench.busy.wait()
    answer = run.answer()
    assert answer["outcome"] in ("done", "partial"), answer
    assert run.artifacts()["perf/perf.data"]["status"] in ("ok", "empty", "partial")


def test_a_reused_pid_is_not_the_target(bench):
    run, answer = bench("perf", "sample", pid=os.getpid())
    assert answer["outcome"] == "skipped" and "no process" in answer["text"], answer
    run, answer = bench("proc", "instant", pid=os.getpid())
    assert answer["outcome"] == "done"
    assert "proc/before/status" not in run.artifacts() and "proc/before/host.meminfo" in run.artifacts()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
@pytest.mark.parametrize("caps, proc, perf", [("+perfmon,+sys_ptrace,+dac_read_search", "ok", "ok"), ("", "skipped", None)])
def test_as_another_user_with_just_the_capabilities(bench, tmp_path, caps, proc, perf):
    lib.let_through(tmp_path)
    staging = tmp_path / "staging" / "capture"
    for folder in ("artifacts", "meta"):
        (staging / folder).mkdir(parents=True, exist_ok=True)
    for folder in (staging, staging / "artifacts", staging / "meta"):
        os.chown(folder, 65534, 65534)
    wrapper = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs",
               f"--inh-caps=-all{',' + caps if caps else ''}", f"--ambient-caps=-all{',' + caps if caps else ''}",
               f"--bounding-set=-all{',' + caps if caps else ''}"]
    run, answer = bench("proc", "instant", wrapper=wrapper)
    artifacts = run.artifacts()
    assert artifacts["proc/before/status"]["status"] == "ok", answer
    assert artifacts["proc/before/io"]["status"] == proc, artifacts["proc/before/io"]
    if proc == "skipped":
        assert "CAP_SYS_PTRACE" in artifacts["proc/before/io"]["error"]
    run, answer = bench("perf", "sample", wrapper=wrapper)
    if perf:
        assert answer["outcome"] == "done", answer
        assert b"spin" in run.read("perf/perf.script.txt")
        _, answer = bench("strace", "trace", wrapper=wrapper)
        assert answer["outcome"] == "done", answer
    else:
        assert answer["outcome"] in ("failed", "partial"), answer
        assert "ermi" in answer["text"] or "paranoid" in answer["text"], answer


@pytest.mark.skipif(not pathlib.Path("/usr/bin/prometheus").exists(), reason="needs Debian's prometheus as a Go process")
def test_pprof_of_a_real_go_process(tmp_path):
    port = lib.free_port()
    (tmp_path / "prometheus.yml").write_text("global: {scrape_interval: 1s}\n")
    go = subprocess.Popen(["/usr/bin/prometheus", f"--config.file={tmp_path}/prometheus.yml",
                           f"--storage.tsdb.path={tmp_path}/data", f"--web.listen-address=127.0.0.1:{port}"],
                          stderr=subprocess.DEVNULL)
    runs = []
    try:
        config = f"""
targets:
  go:
    process: {{exe: /usr/bin/prometheus}}
    pprof: http://127.0.0.1:{port}/debug/pprof
collectors:
  pprof: {{duration: 1s, trace: 1s, fgprof: 1s}}
"""
        plan = wire.Plan(tmp_path, config)
        lib.wait_for(lambda: subprocess.run([lib.BIN / "incidentd-fetch", f"http://127.0.0.1:{port}/-/ready"],
                                            capture_output=True).returncode == 0, "prometheus to be ready")
        found = wire.Run(plan, tmp_path / "st", "find", target=0)
        runs.append(found)
        answer = found.answer()
        assert answer["text"] == "go" and answer["name"] == "/usr/bin/prometheus", answer
        for number, phase in enumerate(("dump", "sample", "after")):
            run = wire.Run(plan, tmp_path / "staging" / "c", target=0, collector=0, phase=wire.PHASES[phase],
                           run=number, pid=go.pid, start_ticks=wire.start_ticks(go.pid))
            runs.append(run)
            answer = run.answer()
            assert answer["outcome"] == "done", (phase, answer)
        artifacts = run.artifacts()
        for name in ("goroutine", "threadcreate", "heap.before", "allocs.before", "mutex", "block", "profile",
                     "heap.after", "allocs.after"):
            assert artifacts[f"pprof/{name}.pb.gz"]["status"] == "ok", artifacts[f"pprof/{name}.pb.gz"]
            assert gzip.decompress(run.read(f"pprof/{name}.pb.gz"))
        assert run.read("pprof/trace.out").startswith(b"go 1.")
        assert artifacts["pprof/fgprof.pb.gz"]["status"] == "skipped"
        assert "HTTP 404" in artifacts["pprof/fgprof.pb.gz"]["error"]
        assert not any("gc=1" in word for a in artifacts.values() for word in a["argv"])
    finally:
        go.terminate()
        go.wait()
        for run in runs:
            run.kill()
