"""Goal: a page of metrics may be made to hurt; it costs the brain a bounded amount of memory, and nobody else their
turn."""
import http.server
import pathlib
import threading

import daemon as lib
import pytest
from daemon import wait_for

HEAD = b'http_requests_total{code="200"} 5000\nhttp_requests_total{code="500"} 0\n'


def million():
    lines = [b"http_requests_total{c=\"%x\"} 1" % i for i in range(480000)]
    return HEAD + b"\n".join(lines) + b"\n"


def backtracking():
    lines = [b"http_requests_total{code=\"%s!%d\"} 1" % (b"a" * 3000, i) for i in range(5000)]
    return HEAD + b"\n".join(lines) + b"\n"


PAGES = {
    "a series per byte": million,
    "label values that make a regex backtrack": backtracking,
    "labels without end": lambda: HEAD + b"http_requests_total{" + b",".join(b'l%d="x"' % i for i in range(300000)) + b"} 1\n",
    "one line": lambda: HEAD + b"x" * (15 << 20),
    "one label value": lambda: HEAD + b'http_requests_total{code="' + b"\\\\" * (7 << 20) + b'"} 1\n',
    "escapes": lambda: HEAD + b'http_requests_total{code="\x1b[2J\\n\\"\xff"} 1\n' * 100000,
    "numbers": lambda: HEAD + b"\n".join(b"http_requests_total{n=\"%d\"} %s" % (i, v) for i, v in enumerate(
        (b"NaN", b"-Inf", b"1e999", b"-1", b"0x1p+1023", b"1" * 60000, b"", b"9223372036854775808"))) + b"\n",
}


@pytest.fixture
def served():
    page = {"body": HEAD}

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(page["body"])

        def log_message(self, *_):
            pass
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    page["url"] = f"http://127.0.0.1:{server.server_port}/metrics"
    yield page
    server.shutdown()
    server.server_close()


def rss_mib(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) / 1024


def test_a_page_made_to_hurt_costs_a_bounded_amount_of_memory_and_time(daemon, served, faulty):
    service = faulty("--virtual-rate", 1000)
    d = daemon(lib.target_config(service) + f"""
  - name: hostile
    target: hostile
    slo: {{objective: 0.999, good: 'http_requests_total{{code!~"(a+)+b"}}', total: http_requests_total, by: [code, c]}}
""".replace("rules:", ""), start=False)
    text = d.config.read_text()
    d.config.write_text(text.replace("targets:\n", f"targets:\n  hostile: {{metrics: '{served['url']}', interval: 1s, startup_grace: 0s}}\n"))
    d.start()
    brain = d.pid_of("incidentd-brain")
    d.wait_polls(2)
    for what, make in PAGES.items():
        served["body"] = make()
        assert len(served["body"]) < 16 << 20, what
        polls = {t: d.metric("incidentd_polls_total", target=t) for t in ("hostile", "checkout")}
        for target, more in (("hostile", 2), ("checkout", 1)):
            wait_for(lambda: d.metric("incidentd_polls_total", target=target) >= polls[target] + more, f"{target} at '{what}'", 30, 0.1)
        assert d.pid_of("incidentd-brain") == brain, what
        assert lib.SANITIZED or rss_mib(brain) < 160, (what, rss_mib(brain))
    served["body"] = HEAD
    d.wait_polls(2)
    assert d.status("/-/ready") == 200
