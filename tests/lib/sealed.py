"""A daemon that is asked from elsewhere: a token, an address other than 127.0.0.1, a health listener; its target's
metrics are ours, and every name in them that a target can choose is hostile."""
import hashlib
import http.server
import json
import os
import subprocess
import threading
import urllib.error
import urllib.request

import daemon as lib

HOST = "127.0.0.2"
TOKEN = "0f" * 24
ROUTE = """</td><script>alert(1)</script>'&amp;"""
FILE = "<img src=x onerror=alert(1)>&%2e #1.txt"  # refused by the sealer, and listed


class Metrics(http.server.ThreadingHTTPServer):
    """A metrics page with one hostile label value; `failing` makes half of the requests fail."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Page)
        self.good = self.bad = 0
        self.failing = False
        threading.Thread(target=self.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server_port}/metrics"


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        s = self.server
        s.good += 50
        s.bad += 50 if s.failing else 0
        label = ROUTE.replace("\\", "\\\\").replace('"', '\\"')
        body = ("# TYPE http_requests_total counter\n"
                f'http_requests_total{{route="{label}",code="200"}} {s.good}\n'
                f'http_requests_total{{route="{label}",code="503"}} {s.bad}\n').encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


CONFIG = """
targets:
  shop:
    process: {{pid: {pid}}}
    metrics: {url}
    interval: 250ms
    startup_grace: 0s
rules:
  - name: availability
    target: shop
    slo:
      objective: 0.999
      good: http_requests_total{{code!~"5.."}}
      total: http_requests_total
      by: [route, code]
    keep_firing_for: 1s
    capture: [state, odd, broken]
collectors:
  state: {{type: proc}}
  odd: {{type: exec, argv: [/bin/sh, -c, "echo evidence; echo more > '{file}'; echo odd > odd-1.txt"]}}
  broken: {{type: exec, argv: [/bin/false]}}
server: {{listen: '{host}:{port}', token_file: {place}/token, health_listen: '127.0.0.1:{health}'}}
"""


class Sealed(lib.Daemon):
    """The daemon with one sealed onset capture, `capture`."""

    def __init__(self, place):
        self.metrics_server = Metrics()
        self.health_port = lib.free_port()
        (place / "token").write_text(TOKEN + "\n")
        super().__init__(place, "server: later\n")
        self.url = f"http://{HOST}:{self.port}"
        self.token_file = place / "token"
        self.write(CONFIG.format(pid=os.getpid(), url=self.metrics_server.url, file=FILE, host=HOST, port=self.port,
                                 place=place, health=self.health_port))

    def begin(self):
        self.start()
        lib.wait_for(lambda: self.rules()[0]["counts"]["total"] > 0, "the first counts")
        self.metrics_server.failing = True
        self.capture = self.wait_capture()
        self.metrics_server.failing = False
        self.bytes = self.bundle(self.capture).read_bytes()
        assert hashlib.sha256(self.bytes).hexdigest() == self.capture["sha256"]
        return self

    def api(self, path, method="GET", body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method,
                                         headers={"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read() or b"null")

    def take(self):
        """One more sealed capture, taken by hand."""
        def start():
            try:
                return self.api("/api/v1/captures", "POST", {"target": "shop", "rule": "availability"})["id"]
            except urllib.error.HTTPError as busy:
                assert busy.code == 429
                return None
        wanted = lib.wait_for(start, "the start of a capture", every=0.1)
        return self.wait_capture(lambda c: c["id"] == wanted)

    def ctl(self, *arguments, server=True, token=True, **options):
        """incidentctl as somebody on another machine runs it."""
        more = ["--server", self.url] if server else []
        more += ["--token-file", self.token_file] if token else []
        return subprocess.run([lib.BIN / "incidentctl", *arguments, *more], capture_output=True, text=True, timeout=60,
                              env={"PATH": os.environ["PATH"], "NO_COLOR": "1", "HOME": "/nonexistent"}, **options)

    def end(self):
        self.stop()
        self.metrics_server.shutdown()
        self.metrics_server.server_close()
