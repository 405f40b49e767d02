"""The programs a user would take instead of incidentd, set up as fast as they go: Debian's Prometheus with Alertmanager
and a webhook that starts a program, and pt-stalk. For benchmarks; each is ended by its own pid."""
import contextlib
import http.client
import http.server
import json
import os
import pathlib
import re
import subprocess
import threading
import urllib.request

from daemon import free_port, wait_for

RULE = """groups:
  - name: availability
    rules:
      - alert: availability
        expr: sum(rate(http_requests_total{code=~"5.."}[5s])) / sum(rate(http_requests_total[5s])) > 0.001
"""

# The ratio since the last check in thousandths of a percent; 100 is 0.1 %.
PLUGIN = """trg_plugin() {
    curl -s -m 1 "$PEER_URL/metrics" | awk -v last="$PEER_PLACE/last" '
        /^http_requests_total/ { all += $2; if ($0 ~ /code="5/) bad += $2 }
        END { getline was < last; split(was, w, " "); print bad, all > last
              d = all - w[2]; print (was != "" && d > 0) ? int(100000 * (bad - w[1]) / d) : 0 }'
}
before_collect() { "$PEER_STAMP" pt-stalk "$PEER_STAMPS"; }
"""


def get_json(url):
    with urllib.request.urlopen(url, timeout=5) as answer:
        return json.loads(answer.read())


def version(program):
    done = subprocess.run([program, "--version"], capture_output=True, text=True)
    text = (done.stdout + done.stderr).strip().splitlines()[0]
    return re.sub(r" \(.*", "", text)


class Peer:
    """A process in a folder of its own, with its output in a log there."""

    def __init__(self, place, name, command, environment=None):
        self.name = name
        self.log = pathlib.Path(place, f"{name}.log")
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=place,
                                            env={**os.environ, **(environment or {})}, start_new_session=True)
        self.pid = self.process.pid

    def stop(self):
        """Ends the whole session that was started for it."""
        for number in (15, 9):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(5)
        self.process.wait()


class Receiver:
    """A webhook receiver that starts `command` for each message about something that fires."""

    def __init__(self, command):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):  # noqa: N802
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if body["status"] == "firing":
                    started.append(subprocess.Popen(command))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        started = self.started = []
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def stop(self):
        self.server.shutdown()
        for process in self.started:
            process.wait()


class Prometheus:
    """Prometheus and Alertmanager at one-second settings, watching one page."""

    def __init__(self, place, page, webhook):
        place = pathlib.Path(place)
        self.port, self.alerts_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.alerts_url = f"http://127.0.0.1:{self.alerts_port}"
        place.joinpath("rules.yml").write_text(RULE)
        place.joinpath("prometheus.yml").write_text(f"""global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [rules.yml]
alerting: {{alertmanagers: [{{static_configs: [{{targets: ['127.0.0.1:{self.alerts_port}']}}]}}]}}
scrape_configs: [{{job_name: service, static_configs: [{{targets: ['{page}']}}]}}]
""")
        place.joinpath("alertmanager.yml").write_text(f"""route: {{receiver: hook, group_wait: 0s, group_interval: 1s, repeat_interval: 1h}}
receivers: [{{name: hook, webhook_configs: [{{url: '{webhook}', send_resolved: false}}]}}]
""")
        self.alertmanager = Peer(place, "alertmanager", [
            "prometheus-alertmanager", "--config.file=alertmanager.yml", f"--storage.path={place / 'alerts'}",
            f"--web.listen-address=127.0.0.1:{self.alerts_port}", "--cluster.listen-address="])
        self.prometheus = Peer(place, "prometheus", [
            "prometheus", "--config.file=prometheus.yml", f"--storage.tsdb.path={place / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{self.port}"])
        wait_for(lambda: self.answers(self.url + "/-/ready") and self.answers(self.alerts_url + "/-/ready"),
                 "prometheus and alertmanager", 30, 0.1)

    @staticmethod
    def answers(url):
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                return answer.status == 200
        except (OSError, http.client.HTTPException):
            return False

    def scrapes(self):
        """True once the page was read."""
        return bool(get_json(f"{self.url}/api/v1/query?query=rate(http_requests_total[5s])")["data"]["result"])

    def quiet(self):
        return not get_json(f"{self.url}/api/v1/alerts")["data"]["alerts"] and \
            not get_json(f"{self.alerts_url}/api/v2/alerts")

    def pids(self):
        return [self.prometheus.pid, self.alertmanager.pid]

    def stop(self):
        self.prometheus.stop()
        self.alertmanager.stop()


def pt_stalk(place, page_url, stamp, stamps):
    """pt-stalk that checks the page each second. It wants a MySQL: stubs stand for its clients."""
    place = pathlib.Path(place)
    place.joinpath("plugin.sh").write_text(PLUGIN)
    stubs = place / "stubs"
    stubs.mkdir()
    for name in ("mysql", "mysqladmin"):
        stub = stubs / name
        stub.write_text("#!/bin/sh\necho 1\n")
        stub.chmod(0o755)
    place.joinpath("samples").mkdir()
    return Peer(place, "pt-stalk", [
        "pt-stalk", f"--function={place / 'plugin.sh'}", "--variable=ratio", "--threshold=100", "--cycles=1",
        "--interval=1", "--run-time=1", "--sleep=1", f"--dest={place / 'samples'}", f"--log={place / 'stalk.log'}",
        f"--pid={place / 'stalk.pid'}", f"--plugin={place / 'plugin.sh'}", "--disk-bytes-free=0", "--disk-pct-free=0"],
        {"PATH": f"{stubs}:{os.environ['PATH']}", "PEER_URL": page_url, "PEER_PLACE": str(place),
         "PEER_STAMP": str(stamp), "PEER_STAMPS": str(stamps), "HOME": str(place)})
