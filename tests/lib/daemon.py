"""The real daemon, for scenarios: started with a configuration in a folder of its own, waited for, stopped, and
checked to leave nothing behind."""
import contextlib
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("INCIDENTD_BIN", SOURCE / "build/dev/bin"))
SANITIZED = "asan" in str(BIN) or "tsan" in str(BIN)
ACCOUNTS = ("incidentd", "incidentd-work")
DEADLINE_S = 60  # nothing a scenario waits for takes longer


class TimedOut(AssertionError):
    pass


def let_through(place):
    """Opens `place` and the folders that pytest has made above it, and closed, to the daemon's accounts."""
    shared = pathlib.Path(tempfile.gettempdir())
    for folder in (place, *place.parents):
        if folder == place or shared in folder.parents:
            folder.chmod(0o755)


def wait_for(condition, what, timeout=DEADLINE_S, every=0.02):
    """Calls `condition` until it returns something true, which is returned; raises with `what` after `timeout`."""
    end = time.monotonic() + timeout
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            raise TimedOut(f"waited {timeout} s in vain for {what}")
        time.sleep(every)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def children_of(pid):
    """Every living descendant of `pid`."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                stat = pathlib.Path(f"/proc/{entry}/stat").read_text()
                fields = stat[stat.rindex(")") + 2:].split()
                if fields[0] not in "ZX":
                    parents.setdefault(int(fields[1]), []).append(int(entry))
    found, open_ = [], [pid]
    while open_:
        below = parents.get(open_.pop(), [])
        found += below
        open_ += below
    return found


def name_of(pid):
    with contextlib.suppress(OSError):
        return os.path.basename(os.readlink(f"/proc/{pid}/exe")).removesuffix(" (deleted)")
    return ""


def ours(place, session):
    """Living processes of the daemon's session, or with a working directory in `place`: what a dead daemon must not
    leave. Every program of ours stays in the session that incidentd was started in."""
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            fields = pathlib.Path(f"/proc/{entry}/stat").read_text().rsplit(")", 1)[1].split()
            if fields[0] in "ZX":
                continue
            if int(fields[3]) == session or os.readlink(f"/proc/{entry}/cwd").startswith(f"{place}/"):
                found[int(entry)] = name_of(entry)
    return found


class Daemon:
    """One incidentd. `config` is YAML text without `store` and `server`, which are ours. `wrapper` is a command that
    ends in executing what follows it; `programs` a folder of the programs other than BIN; `env` adds variables."""

    def __init__(self, place, config, extra="", wrapper=(), programs=None, env=None):
        self.place = pathlib.Path(place)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.store = self.place / "store"
        self.config = self.place / "incidentd.yaml"
        self.log = self.place / "incidentd.log"
        self.extra = extra
        self.command = [*wrapper, pathlib.Path(programs or BIN) / "incidentd", "-c", self.config]
        self.env = {**os.environ, **(env or {})}
        self.write(config)
        self.process = None

    def write(self, config):
        store = "" if "store:" in config + self.extra else f"store: {{path: {self.store}, min_free: 0%}}\n"
        server = "" if "server:" in config + self.extra else f"server: {{listen: 127.0.0.1:{self.port}}}\n"
        self.config.write_text(config + store + server + self.extra)

    def start(self, ready=True):
        self.place.chmod(0o755)
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command, stderr=log, stdout=log, env=self.env,
                                            stdin=subprocess.DEVNULL, start_new_session=True)
        if ready:
            self.wait_ready()
        return self

    def wait_ready(self):
        def up():
            if self.process.poll() is not None:
                raise AssertionError(f"incidentd ended with {self.process.returncode}:\n{self.text()}")
            return self.status("/-/ready") == 200
        wait_for(up, "/-/ready")

    def text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def status(self, path):
        try:
            with urllib.request.urlopen(self.url + path, timeout=5) as answer:
                return answer.status
        except urllib.error.HTTPError as problem:
            return problem.code
        except (OSError, http.client.HTTPException):
            return 0

    def api(self, path, method="GET", body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method,
                                         headers={"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read() or b"null")

    def captures(self):
        try:
            return self.api("/api/v1/captures")["captures"]
        except (OSError, http.client.HTTPException):
            return []

    def incidents(self):
        try:
            return self.api("/api/v1/incidents")["incidents"]
        except (OSError, http.client.HTTPException):
            return []

    def metric(self, name, **labels):
        """A value of the own metrics, 0 when absent."""
        with urllib.request.urlopen(self.url + "/metrics", timeout=5) as answer:
            page = answer.read().decode()
        wanted = name + ("{" + ",".join(f'{k}="{v}"' for k, v in labels.items()) + "}" if labels else "") + " "
        return next((float(line[len(wanted):]) for line in page.splitlines() if line.startswith(wanted)), 0)

    def wait_polls(self, count, timeout=180):
        """Waits for `count` more polls of the target, each of them answered."""
        first = self.metric("incidentd_polls_total", target="checkout")
        wait_for(lambda: self.metric("incidentd_polls_total", target="checkout") >= first + count, f"{count} polls", timeout, 0.1)

    def rules(self):
        return self.api("/api/v1/rules")["rules"]

    def wait_capture(self, accept=lambda c: True, states=("sealed", "partial"), timeout=DEADLINE_S):
        def found():
            return next((c for c in self.captures() if c["state"] in states and accept(c)), None)
        try:
            return wait_for(found, "a capture in state " + " or ".join(states), timeout)
        except TimedOut as e:
            raise TimedOut(f"{e}; there are {self.captures()}\n{self.text()[-6000:]}") from None

    def bundle(self, capture):
        return self.store / "bundles" / f"{capture['id']}.tar.zst"

    def manifest(self, capture):
        return json.loads((self.store / "bundles" / f"{capture['id']}.manifest.json").read_text())

    def open(self, capture, into="opened"):
        """Unpacks a bundle with the public tools and returns its folder."""
        place = self.place / into
        place.mkdir(exist_ok=True)
        subprocess.run(["tar", "--zstd", "-xf", self.bundle(capture), "-C", place], check=True)
        return place / capture["id"]

    def verify(self, capture):
        """The bundle opens and its checksums hold."""
        bundle = self.bundle(capture)
        subprocess.run(["zstd", "-q", "-t", bundle], check=True)
        subprocess.run(["sha256sum", "--quiet", "-c", bundle.with_name(f"{capture['id']}.sha256")],
                       cwd=bundle.parent, check=True)
        folder = self.open(capture, into=f"verify-{capture['id'][-4:]}")
        manifest = json.loads((folder / "manifest.json").read_text())
        for artifact in manifest["artifacts"]:
            path = folder / artifact["path"]
            if artifact["status"] in ("ok", "partial") and artifact.get("sha256"):
                done = subprocess.run(["sha256sum", path], check=True, capture_output=True, text=True)
                assert done.stdout.split()[0] == artifact["sha256"], artifact
        shutil.rmtree(folder)
        return manifest

    def programs(self):
        """pid by name of our running programs below the daemon."""
        return {pid: name_of(pid) for pid in children_of(self.process.pid)}

    def pid_of(self, name):
        return next((pid for pid, program in self.programs().items() if program == name), None)

    def kill(self, pid=None):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid or self.process.pid, signal.SIGKILL)
        if pid is None:
            self.process.wait()

    def stop(self, timeout=40):
        if self.process is None or self.process.poll() is not None:
            return None
        self.process.terminate()
        try:
            return self.process.wait(timeout)
        finally:
            if self.process.poll() is None:
                self.kill()
            self.assert_nothing_left()

    def assert_nothing_left(self, timeout=5):
        left = {}

        def gone():
            left.clear()
            left.update(ours(self.place, self.process.pid))
            return not left
        try:
            wait_for(gone, "the end of every process", timeout)
        except TimedOut as e:
            raise TimedOut(f"{e}; left are {left}\n{self.text()[-3000:]}") from None


class Faulty:
    """examples/faulty: a C service with switchable faults and the usual metric names."""

    wrapper = ()  # a command that ends in executing what follows it

    def __init__(self, *arguments, log=None):
        self.process = subprocess.Popen([*self.wrapper, BIN / "faulty", *([] if "--port" in arguments else ["--port", "0"]),
                                         *map(str, arguments)],
                                        stdout=subprocess.PIPE, stderr=log or subprocess.DEVNULL, text=True)
        line = self.process.stdout.readline()
        self.port = int("".join(c for c in line.split(":")[-1] if c.isdigit()))
        self.url = f"http://127.0.0.1:{self.port}"
        self.pid = self.process.pid

    def fault(self, **settings):
        query = "&".join(f"{k}={v}" for k, v in settings.items())
        request = urllib.request.Request(f"{self.url}/fault?{query}", data=b"", method="POST")
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status

    def signal(self, number):
        os.kill(self.pid, number)

    def state(self):
        """One letter of /proc/PID/stat: T and t are stopped."""
        stat = pathlib.Path(f"/proc/{self.pid}/stat").read_text()
        return stat[stat.rindex(")") + 2]

    def stop(self):
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def target_config(faulty, rule_extra="", target_extra="", collectors=""):
    """A configuration that watches one Faulty each second."""
    return f"""
targets:
  checkout:
    process: {{pid: {faulty.pid}}}
    metrics: {faulty.url}/metrics
    interval: 1s
    startup_grace: 0s
{target_extra}
rules:
  - name: availability
    target: checkout
    slo:
      objective: 0.999
      good: http_requests_total{{code!~"5.."}}
      total: http_requests_total
      by: [route, code]
    keep_firing_for: 5s
{rule_extra}
{collectors}
"""
