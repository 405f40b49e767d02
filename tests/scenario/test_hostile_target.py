"""Goal: a target that is somebody else's by now gets no file, no address and no time out of us that it could not have
had itself."""
import contextlib
import gzip
import http.server
import json
import os
import pathlib
import pwd
import subprocess
import threading
import time

import daemon as lib
import pytest
import wire

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs files of two accounts")


@pytest.fixture
def tail(tmp_path):
    """tail(path): what the logs collector makes of it: (artifact, bytes or None)."""
    count = iter(range(100))

    def run(path):
        me, folder = os.getpid(), tmp_path / f"run{next(count)}"
        folder.mkdir()
        plan = wire.Plan(folder, f"""
targets:
  t: {{process: {{pid: {me}}}, logs: [{path}]}}
collectors:
  logs: {{}}
""")
        one = wire.Run(plan, folder / "staging/c", target=0, collector=0, phase=wire.PHASES["instant"], run=1, pid=me,
                       start_ticks=wire.start_ticks(me))
        os.close(plan.fd)
        one.answer()
        (name, artifact), = one.artifacts().items()
        return artifact, one.read(name) if artifact["status"] in ("ok", "partial") else None
    return run


@ROOT
@pytest.mark.parametrize("how", ["link", "hard link", "link in a link"])
def test_a_log_that_leads_to_a_file_of_somebody_else_is_not_read(tail, tmp_path, how):
    nobody = pwd.getpwnam("nobody")
    secret, folder = tmp_path / "secret", tmp_path / "log"
    secret.write_text("secret\n")
    secret.chmod(0o600)
    folder.mkdir()
    log = folder / "app.log"
    if how == "hard link":
        os.link(secret, log)
    else:
        log.symlink_to(secret if how == "link" else folder / "other")
        (folder / "other").symlink_to(secret)
    for path in (folder, log):
        if how != "hard link" or path is folder:
            os.chown(path, nobody.pw_uid, nobody.pw_gid, follow_symlinks=False)
    artifact, data = tail(log)
    assert data is None and "another owner" in artifact["error"], artifact


@ROOT
def test_a_link_of_the_usual_kind_is_followed(tail, tmp_path):
    nobody = pwd.getpwnam("nobody")
    for owner in (0, nobody.pw_uid):
        folder = tmp_path / f"log{owner}"
        folder.mkdir()
        (folder / "app.1").write_text("line\n")
        (folder / "current").symlink_to("app.1")
        for path in (folder, folder / "app.1", folder / "current"):
            os.chown(path, owner, -1, follow_symlinks=False)
        assert tail(folder / "current")[1] == b"line\n"


@pytest.mark.parametrize("kind", ["fifo", "folder", "device", "nothing"])
def test_a_log_that_is_no_file_is_told(tail, tmp_path, kind):
    log = tmp_path / "app.log"
    make = {"fifo": lambda: os.mkfifo(log), "folder": log.mkdir, "device": lambda: log.symlink_to("/dev/zero"), "nothing": lambda: None}
    make[kind]()
    start = time.monotonic()
    artifact, data = tail(log)
    assert data is None and artifact["status"] in ("failed", "skipped") and artifact["error"]
    assert time.monotonic() - start < 5


class Endpoint(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        getattr(self, self.path.strip("/").split("?")[0])()

    def start(self, status=200, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def endless(self):
        self.start()
        with contextlib.suppress(OSError):
            while True:
                self.wfile.write(b"x" * 65536)

    def slow(self):
        self.start(Content_Length=1000)
        with contextlib.suppress(OSError):
            while not self.server.over.wait(0.05):
                self.wfile.write(b"x")

    def file(self):
        self.start(302, Location="file:///etc/passwd")

    def around(self):
        self.start(302, Location="/around")

    def escapes(self):
        self.start(500)
        self.wfile.write(b"\x1b]0;owned\x07\r\nlevel=error forged\n" * 100)

    def headers_only(self):
        self.wfile.write(b"HTTP/1.1 200 OK\r\n")
        with contextlib.suppress(OSError):
            for i in range(1 << 20):
                self.wfile.write(b"X-%d: %s\r\n" % (i, b"y" * 1000))

    def log_message(self, *_):
        pass


@pytest.fixture
def endpoint():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    server.daemon_threads, server.over = True, threading.Event()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.over.set()
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("path, status", [("endless", 6), ("slow", 5), ("file", 3), ("around", 3), ("escapes", 3), ("headers_only", 4)])
def test_fetch_takes_what_it_asked_for_and_no_more(endpoint, tmp_path, path, status):
    with open(tmp_path / "body", "wb") as body:
        done = subprocess.run([lib.BIN / "incidentd-fetch", "--timeout-ms", "1000", "--max-bytes", "1000000", f"{endpoint}/{path}"],
                              stdout=body, stderr=subprocess.PIPE, timeout=10)
    assert done.returncode == status, done
    assert (tmp_path / "body").stat().st_size <= 1000000
    assert done.stderr.count(b"\n") == 1 and all(c >= 32 for c in done.stderr.strip()), done.stderr


@pytest.mark.parametrize("url", ["file:///etc/passwd", "gopher://127.0.0.1/", "/etc/passwd", "-K/etc/passwd", "http://[", ""])
def test_fetch_speaks_nothing_but_http(tmp_path, url):
    done = subprocess.run([lib.BIN / "incidentd-fetch", url], capture_output=True, timeout=10)
    assert done.returncode in (1, 4) and done.stdout == b""


def test_a_profile_that_inflates_without_end_costs_the_report_only(tmp_path):
    staging = tmp_path / "staging"
    (staging / "artifacts/pprof").mkdir(parents=True)
    (staging / "meta").mkdir()
    (staging / "base.json").write_text('{"id":"cap"}')
    bomb = gzip.compress(b"\0" * (1 << 28), 1)
    for name in ("heap.before.pb.gz", "heap.after.pb.gz"):
        (staging / "artifacts/pprof" / name).write_bytes(bomb)
    start = time.monotonic()
    status = {}
    for verb in ("explain", "pack"):
        limit = "" if lib.SANITIZED else "ulimit -v 524288; "
        subprocess.run(["bash", "-c", f'{limit}exec "$0" {verb} cap 3<"$1" 4>"$2" 5>"$3"', lib.BIN / "incidentd-sealer", staging,
                        tmp_path / verb, tmp_path / f"{verb}.status"], timeout=30)
        status[verb] = json.loads((tmp_path / f"{verb}.status").read_text())
    assert status["pack"]["ok"] and time.monotonic() - start < 15, status


NAME = "x) R 1 1 1 \n\x1b[2J\"'"


def test_a_process_may_be_called_anything(tmp_path):
    """The name stands in /proc/PID/stat in front of the numbers we read."""
    program = tmp_path / "it) S 1 (\n\x1b]0;owned\x07"
    program.write_text("#!/usr/bin/python3\nimport ctypes\nctypes.CDLL(None).prctl(15, %r, 0, 0, 0)\nprint(flush=True)\ninput()\n"
                       % NAME[:15].encode())
    program.chmod(0o755)
    target = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        target.stdout.readline()
        plan = wire.Plan(tmp_path, f"targets:\n  t: {{process: {{pid: {target.pid}}}}}\n")
        found = wire.Run(plan, tmp_path / "find", mode="find", target=0).answer()
        assert (found["status"], found["pid"], found["start_ticks"]) == (0, target.pid, wire.start_ticks(target.pid))
        os.close(plan.fd)
    finally:
        target.kill()
        target.wait()
        target.stdin.close()
        target.stdout.close()
    assert not pathlib.Path(f"/proc/{target.pid}").exists()
