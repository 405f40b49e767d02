"""Goal: a download that breaks off goes on where it was, and what does not verify never gets its name."""
import hashlib
import http.server
import json
import os
import subprocess
import threading

import pytest

from daemon import BIN

ID = "checkout_availability_20261124T083112.345Z_pod_a1b2"
BUNDLE = os.urandom(3_000_000)


class Daemon(http.server.BaseHTTPRequestHandler):
    """What `get` needs of the API; `server.cut` breaks answers off, `server.sha256` is what is promised."""
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body, headers=(), cut=None):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:cut])
            self.close_connection = cut is not None

    def do_GET(self):
        s = self.server
        if self.path.endswith("/bundle"):
            tag = f'"{s.sha256}"'
            wanted = self.headers.get("Range") if self.headers.get("If-Range") == tag else None
            offset = int(wanted[len("bytes="):-1]) if wanted else 0
            if self.command == "GET":
                s.offsets.append(offset)
            self.answer(206 if offset else 200, BUNDLE[offset:],
                        [("ETag", tag), ("X-Checksum-SHA256", s.sha256)], s.cut)
        elif self.path in ("/api/v1/captures/latest", f"/api/v1/captures/{ID}"):
            self.answer(200, json.dumps({"id": ID, "state": s.state}).encode())
        else:
            self.answer(404, json.dumps({"title": "Not Found", "detail": "there is no capture 'zz'"}).encode())

    do_HEAD = do_GET


@pytest.fixture
def server():
    s = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Daemon)
    s.cut, s.offsets, s.state, s.sha256 = None, [], "sealed", hashlib.sha256(BUNDLE).hexdigest()
    threading.Thread(target=s.serve_forever, daemon=True).start()
    yield s
    s.shutdown()
    s.server_close()


def get(server, folder, *arguments):
    url = f"http://127.0.0.1:{server.server_port}"
    return subprocess.run([BIN / "incidentctl", "get", "--server", url, *arguments], cwd=folder,
                          capture_output=True, text=True)


def test_goes_on_where_it_broke_off(server, tmp_path):
    server.cut = 1_000_000
    broken = get(server, tmp_path)
    assert broken.returncode == 1 and "goes on" in broken.stderr
    assert [p.name for p in tmp_path.iterdir()] == [f"{ID}.tar.zst.part"]
    server.cut = None
    assert get(server, tmp_path).stdout == f"{ID}.tar.zst\n"
    assert server.offsets == [0, 1_000_000]
    assert (tmp_path / f"{ID}.tar.zst").read_bytes() == BUNDLE


def test_does_not_trust_an_old_part_of_another_bundle(server, tmp_path):
    (tmp_path / f"{ID}.tar.zst.part").write_bytes(b"x" * 500)
    broken = get(server, tmp_path)
    assert broken.returncode == 1 and "SHA-256" in broken.stderr
    assert list(tmp_path.iterdir()) == []
    assert get(server, tmp_path).returncode == 0


def test_does_not_replace_without_force(server, tmp_path):
    (tmp_path / "b").write_text("mine")
    assert "exists" in get(server, tmp_path, "-o", "b").stderr
    assert (tmp_path / "b").read_text() == "mine"
    assert get(server, tmp_path, "latest", "-o", "b", "--force").returncode == 0
    assert (tmp_path / "b").read_bytes() == BUNDLE


def test_what_does_not_verify_gets_no_name(server, tmp_path):
    server.sha256 = "0" * 64
    broken = get(server, tmp_path)
    assert broken.returncode == 1 and "SHA-256" in broken.stderr
    assert list(tmp_path.iterdir()) == []


def test_open_and_unknown_captures_are_told(server, tmp_path):
    server.state = "capturing"
    assert "still capturing" in get(server, tmp_path).stderr
    assert "there is no capture 'zz'" in get(server, tmp_path, "zz").stderr
    assert list(tmp_path.iterdir()) == []
