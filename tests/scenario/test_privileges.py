"""Goal: each program holds what it needs and no more; with few privileges or none at all there is still a bundle; a
configuration that others may write is refused where it would lend them privileges."""
import gzip
import http.server
import os
import pathlib
import pwd
import shutil
import subprocess
import threading

import pytest
from daemon import BIN, SANITIZED, Faulty, target_config, wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="changes accounts: needs root")

COLLECTORS = """
collectors:
  perf: {duration: 2s}
"""
NOBODY = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
CAPS = {"dac_read_search": 2, "sys_ptrace": 19, "perfmon": 38}


def mask(*names):
    return sum(1 << CAPS[name] for name in names)


def status(pid):
    """The fields of /proc/PID/status."""
    return dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines())


def uid(pid):
    return int(status(pid)["Uid"].split()[0])


def ids(pid):
    return {int(n) for n in status(pid)["Uid"].split() + status(pid)["Gid"].split()}


def owner(path):
    st = os.lstat(path)
    return pwd.getpwuid(st.st_uid).pw_name, f"{st.st_mode & 0o7777:o}"


@pytest.fixture
def unprivileged(tmp_path, daemon):
    """A Daemon for the account nobody, in a folder it owns."""
    def make(config, wrapper=(), **options):
        d = daemon(config, start=False, wrapper=[*NOBODY, *wrapper], **options)
        d.place.chmod(0o755)
        d.store.mkdir()
        shutil.chown(d.store, "nobody", "nogroup")
        return d
    return make


@pytest.fixture
def as_nobody():
    """A service of the account nobody."""
    made = []

    class Theirs(Faulty):
        wrapper = NOBODY

    def make(*arguments):
        made.append(Theirs(*arguments))
        return made[-1]
    yield make
    for service in made:
        service.stop()


def dip(d, service):
    """One capture of a dip, with its manifest and its artifacts by path."""
    d.wait_polls(2)
    service.fault(error_ratio=0.2)
    capture = d.wait_capture(lambda c: c["rule"] == "availability")
    service.fault(error_ratio=0)
    manifest = d.verify(capture)
    return capture, manifest, {a["path"]: a for a in manifest["artifacts"]}


@pytest.mark.quick
def test_started_as_root_each_program_has_its_account_and_just_its_capabilities(daemon, faulty):
    service = faulty("--virtual-rate", 1000)
    d = daemon(target_config(service, collectors=COLLECTORS))
    brain = d.pid_of("incidentd-brain")
    theirs = status(brain)
    assert ids(brain) == {pwd.getpwnam("incidentd").pw_uid, pwd.getpwnam("incidentd").pw_gid}
    assert theirs["Groups"].split() == []
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(theirs[name], 16) == 0, (name, theirs[name])
    assert theirs["NoNewPrivs"] == "1"

    d.wait_polls(2)
    service.fault(error_ratio=0.2)
    perf = wait_for(lambda: d.pid_of("perf"), "perf to run", 20)
    theirs = status(perf)
    assert uid(perf) == pwd.getpwnam("incidentd-work").pw_uid
    for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(theirs[name], 16) == mask(*CAPS), (name, theirs[name])
    assert theirs["NoNewPrivs"] == "1"
    service.fault(error_ratio=0)
    d.wait_capture()


def test_the_store_belongs_to_the_brain_and_staging_to_the_work_account(daemon, faulty):
    service = faulty("--virtual-rate", 1000)
    d = daemon(target_config(service, collectors=COLLECTORS))
    capture, _, _ = dip(d, service)
    assert owner(d.store) == ("incidentd", "711")
    assert owner(d.store / "bundles") == ("incidentd", "700")
    assert owner(d.store / "journal") == ("incidentd", "700")
    assert owner(d.store / "staging") == ("incidentd-work", "700")
    wait_for(lambda: (d.store / "state.json").exists(), "the state to be written", 10)
    assert owner(d.store / "state.json") == ("incidentd", "600")
    for path in (d.store / "bundles").iterdir():
        assert owner(path) == ("incidentd", "600"), path
    for path in (d.store, d.store / "bundles", d.store / "journal", d.bundle(capture), d.store / "state.json"):
        done = subprocess.run(["setpriv", "--reuid=incidentd-work", "--regid=incidentd-work", "--clear-groups",
                               "ls" if path.is_dir() else "cat", path], capture_output=True, text=True)
        assert "Permission denied" in done.stderr, path


def test_without_any_capability_a_target_of_the_same_account_gives_proc_and_user_stacks(unprivileged, as_nobody):
    service = as_nobody("--virtual-rate", 1000)
    d = unprivileged(target_config(service, collectors=COLLECTORS)).start()
    assert int(status(d.process.pid)["CapPrm"], 16) == 0
    _, manifest, artifacts = dip(d, service)
    runs = {(r["type"], r["phase"]): r for r in manifest["runs"]}
    assert runs["proc", "instant"]["outcome"] in ("done", "partial"), runs
    assert artifacts["artifacts/proc/before/status"]["status"] == "ok", sorted(artifacts)
    assert runs["perf", "sample"]["outcome"] in ("done", "partial"), runs
    assert artifacts["artifacts/perf/perf.data"]["status"] == "ok"
    assert artifacts["artifacts/perf/perf.data"]["size"] > 0


class Pprof(http.server.BaseHTTPRequestHandler):
    """Answers each of Go's pprof URLs at once."""
    body = gzip.compress(b"a profile")

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_):
        pass


@pytest.fixture
def pprof():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pprof)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/debug/pprof"
    server.shutdown()
    server.server_close()


def test_without_any_capability_a_target_of_another_account_still_gives_a_bundle_that_says_why(unprivileged, faulty,
                                                                                               pprof):
    service = faulty("--virtual-rate", 1000)  # root's
    d = unprivileged(target_config(service, target_extra=f"    pprof: {pprof}\n", collectors=COLLECTORS)).start()
    _, manifest, artifacts = dip(d, service)
    assert artifacts["artifacts/proc/before/status"]["status"] == "ok", "world-readable"
    perf = [r for r in manifest["runs"] if r["type"] == "perf"]
    assert perf and perf[0]["outcome"] in ("skipped", "failed"), perf
    assert perf[0]["text"], "why there are no stacks"
    assert artifacts["artifacts/pprof/goroutine.pb.gz"]["status"] == "ok"
    assert artifacts["artifacts/pprof/profile.pb.gz"]["status"] == "ok"


def test_with_ambient_capabilities_a_target_of_another_account_gives_stacks(unprivileged, faulty):
    service = faulty("--virtual-rate", 1000)
    caps = "+perfmon,+sys_ptrace"
    d = unprivileged(target_config(service, collectors=COLLECTORS),
                     wrapper=["--inh-caps", caps, "--ambient-caps", caps]).start()
    assert int(status(d.process.pid)["CapEff"], 16) == mask("perfmon", "sys_ptrace")
    assert int(status(d.pid_of("incidentd-brain"))["CapEff"], 16) == 0
    _, manifest, artifacts = dip(d, service)
    assert artifacts["artifacts/perf/perf.data"]["status"] == "ok", manifest["runs"]


@pytest.fixture
def raised(tmp_path):
    """A folder of the programs in which incidentd has file capabilities."""
    if SANITIZED:
        pytest.skip("a sanitizer's runtime does not start with file capabilities")
    place = tmp_path / "raised"
    place.mkdir(mode=0o755)
    for program in BIN.glob("incidentd*"):
        shutil.copy(program, place)
    subprocess.run(["setcap", "cap_perfmon,cap_sys_ptrace,cap_dac_read_search=p", place / "incidentd"], check=True)
    return place


def test_with_file_capabilities_and_roots_configuration_it_works(unprivileged, raised, faulty):
    service = faulty("--virtual-rate", 1000)
    d = unprivileged(target_config(service, collectors=COLLECTORS), programs=raised).start()
    assert uid(d.process.pid) == pwd.getpwnam("nobody").pw_uid
    assert int(status(d.process.pid)["CapPrm"], 16) == mask("perfmon", "sys_ptrace", "dac_read_search")
    assert int(status(d.pid_of("incidentd-brain"))["CapPrm"], 16) == 0
    _, manifest, artifacts = dip(d, service)
    assert artifacts["artifacts/perf/perf.data"]["status"] == "ok", manifest["runs"]


@pytest.mark.parametrize("mode, account, told", [
    (0o646, "root", "chmod go-w"),
    (0o664, "root", "chmod go-w"),
    (0o644, "nobody", "chown root"),
])
def test_with_file_capabilities_a_configuration_of_others_is_refused(unprivileged, raised, mode, account, told):
    d = unprivileged("targets: {a: {metrics: 'http://127.0.0.1:1/metrics'}}\n", programs=raised)
    d.config.chmod(mode)
    shutil.chown(d.config, account)
    d.start(ready=False)
    assert d.process.wait(10) == 1
    assert "refused: " in d.text() and told in d.text() and str(d.config) in d.text()


def test_as_root_a_configuration_that_anybody_may_write_is_refused(daemon):
    d = daemon("targets: {a: {metrics: 'http://127.0.0.1:1/metrics'}}\n", start=False)
    d.config.chmod(0o646)
    d.start(ready=False)
    assert d.process.wait(10) == 1
    assert "others may write the configuration" in d.text() and "chmod go-w" in d.text()


def test_without_privileges_a_configuration_that_others_may_write_is_accepted(unprivileged):
    d = unprivileged("targets: {a: {metrics: 'http://127.0.0.1:1/metrics'}}\n")
    d.config.chmod(0o666)
    d.start()
    assert d.status("/-/ready") == 200


def test_as_root_without_the_accounts_it_says_how_to_make_them(daemon):
    d = daemon("targets: {a: {metrics: 'http://127.0.0.1:1/metrics'}}\n", start=False,
               extra="process: {user: incidentd-of-nobody}\n")
    d.start(ready=False)
    assert d.process.wait(10) == 1
    assert "useradd --system" in d.text()
