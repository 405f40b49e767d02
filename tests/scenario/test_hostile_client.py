"""Goal: whoever can reach the API's port gets files of listed captures and JSON, and nobody else's turn for long."""
import contextlib
import os
import pathlib
import socket

import pytest
from daemon import target_config, wait_for


@pytest.fixture(scope="module")
def d(tmp_path_factory):
    import daemon as lib
    place = tmp_path_factory.mktemp("client")
    lib.let_through(place)
    service = lib.Faulty("--virtual-rate", 1000)
    one = lib.Daemon(place, target_config(service, collectors="collectors:\n  perf: {duration: 1s}\n")).start()
    try:
        one.wait_polls(2)
        one.api("/api/v1/captures", "POST", {"target": "checkout", "rule": "availability"})
        one.capture = one.wait_capture()
        yield one
    finally:
        one.stop()
        service.stop()


def raw(d, data, timeout=12):
    """Status of the first answer to `data`, 0 when the connection ends without one; and all that came."""
    with socket.create_connection(("127.0.0.1", d.port), timeout) as s:
        with contextlib.suppress(OSError):
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
        got = b""
        with contextlib.suppress(OSError):
            while part := s.recv(65536):
                got += part
                s.settimeout(0.5)  # the connection may be kept
    return int(got.split()[1]) if got.startswith(b"HTTP/1.") else 0, got


def get(d, path, method="GET", headers="", body=b""):
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{d.port}\r\nConnection: close\r\n{headers}\r\n"
    return raw(d, head.encode() + body)


PATHS = ["../../manifest.json", "..%2f..%2fjournal", "%2e%2e/%2e%2e/state.json", "/etc/passwd", "//etc/passwd", "%2fetc%2fpasswd", "..",
         ".", "", "%00", "base.json%00.txt", "artifacts/../../../../etc/passwd", "artifacts/proc/..%5c..%5cx", "%ff%fe", "ä".encode().hex(),
         "a" * 4000, "-rf", "--help", "%0d%0aSet-Cookie:%20x=y", "manifest.json?x=%2e%2e", "%", "%2", "%zz"]


@pytest.mark.parametrize("where", ["files", "id", "incident"])
def test_no_path_leads_out_of_a_bundle(d, where):
    secret = pathlib.Path("/etc/passwd").read_bytes()[:40]
    for path in PATHS:
        full = {"files": f"/api/v1/captures/{d.capture['id']}/files/{path}", "id": f"/api/v1/captures/{path}/manifest",
                "incident": f"/api/v1/incidents/{path}"}[where]
        for method in ("GET", "HEAD"):
            status, got = get(d, full, method)
            fine = where == "files" and path.startswith("manifest.json")
            assert status in ((200,) if fine else (200, 301, 400, 403, 404, 405, 414)), (full, status)
            assert secret not in got and b"\r\nSet-Cookie" not in got and b"boot_id\":" not in got or fine, full
            if where == "files" and not fine:
                assert status != 200, full


def test_every_address_answers_head_without_a_body(d):
    for path in ("/", "/metrics", "/-/healthy", "/-/ready", "/api/v1/incidents", "/api/v1/captures", "/api/v1/rules", "/api/v1/targets",
                 f"/api/v1/captures/{d.capture['id']}/bundle", f"/api/v1/captures/{d.capture['id']}/manifest", "/nothing"):
        status, got = get(d, path, "HEAD")
        assert status in (200, 404), path
        assert got.endswith(b"\r\n\r\n") and got.count(b"\r\n\r\n") == 1, path


SMUGGLED = b"GET /-/healthy HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
ODD = {
    "two lengths": b"POST /-/reload HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\nContent-Length: 44\r\n\r\n" + SMUGGLED,
    "length and chunks": b"POST /api/v1/captures HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "negative length": b"POST /api/v1/captures HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n",
    "huge length": b"POST /api/v1/captures HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99999999999999999999999\r\n\r\n",
    "huge chunk": b"POST /api/v1/captures HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFFF\r\nx",
    "no length": b"POST /api/v1/captures HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n{}",
    "odd encoding": b"POST /api/v1/captures HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: xchunked\r\n\r\n",
    "no host": b"GET /api/v1/captures HTTP/1.1\r\n\r\n",
    "foreign host": b"GET /api/v1/captures HTTP/1.1\r\nHost: rebind.example\r\n\r\n",
    "two hosts": b"GET /api/v1/captures HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: rebind.example\r\n\r\n",
    "absolute form": b"GET http://rebind.example/api/v1/captures HTTP/1.1\r\nHost: rebind.example\r\n\r\n",
    "garbage": bytes(range(256)) * 64,
    "line feeds": b"\n" * 100000,
    "long line": b"GET /" + b"a" * (10 << 20) + b" HTTP/1.1\r\n\r\n",
    "long headers": b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"".join(b"X-%d: %s\r\n" % (i, b"y" * 1000) for i in range(10000)) + b"\r\n",
    "large body": b"POST /api/v1/captures HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 10000000\r\n\r\n" + b"[" * 10000000,
    "deep body": b"POST /api/v1/captures HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 60000\r\nConnection: close\r\n\r\n" + b"[" * 60000,
}


@pytest.mark.parametrize("what", ODD)
def test_an_odd_request_is_refused_and_starts_nothing(d, what):
    before = len(d.captures())
    status, got = raw(d, ODD[what])
    assert status not in (200, 202) or what == "no host", (status, got[:300])
    assert b"rebind" not in got or status != 200
    assert len(d.captures()) == before and d.status("/-/healthy") == 200


def test_slow_connections_are_bounded_and_take_nothing_from_the_loop(d):
    held = []
    with contextlib.suppress(OSError):
        for _ in range(2000):
            s = socket.socket()
            s.settimeout(0.05)
            held.append(s)
            s.connect(("127.0.0.1", d.port))
            s.send(b"POST /api/v1/captures HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n{")
    brain = d.pid_of("incidentd-brain")
    assert len(held) > 100 and len(os.listdir(f"/proc/{brain}/fd")) < 400
    for s in held[8:]:
        s.close()
    before = d.metric("incidentd_polls_total", target="checkout")
    wait_for(lambda: d.metric("incidentd_polls_total", target="checkout") > before, "a poll", 5)
    assert d.pid_of("incidentd-brain") == brain
    for s in held[:8]:
        s.close()
