#!/usr/bin/env python3
"""Goal: how fast a bundle comes down beside nginx, the server that people would put in front of a folder: the same file over
loopback to `curl -o /dev/null`, one stream and 64 at once, the two servers in turn.

  download.py [--rounds N] [--mib N] [--streams-mib N] [--json FILE]

GB/s is wall time from the start of the first curl to the end of the last; CPU is the server's alone, in seconds for a GB (the
clients share the same CPUs). nginx runs one worker with sendfile and tcp_nopush from a configuration made here. Exit 1 when
incidentd falls below the floors: 0.75 of nginx at one stream, 0.7 at 64, where it measured 0.76 to 0.85 (loopback spreads).
"""
import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import cost  # noqa: E402
import daemon as lib  # noqa: E402
from detection import choose_bin  # noqa: E402

STREAMS = 64
FLOOR_ONE, FLOOR_MANY = 0.75, 0.7

NGINX = """
user root;
daemon off;
worker_processes 1;
pid {place}/nginx.pid;
error_log {place}/error.log;
events {{ worker_connections 512; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    client_body_temp_path {place}/body;
    proxy_temp_path {place}/proxy;
    fastcgi_temp_path {place}/fastcgi;
    uwsgi_temp_path {place}/uwsgi;
    scgi_temp_path {place}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location = /bundle {{ alias {file}; }}
    }}
}}
"""


class Nginx:
    def __init__(self, place, file):
        self.port = lib.free_port()
        self.url = f"http://127.0.0.1:{self.port}/bundle"
        config = place / "nginx.conf"
        text = NGINX.format(place=place, port=self.port, file=file)
        config.write_text(text if os.geteuid() == 0 else text.replace("user root;\n", ""))
        self.process = subprocess.Popen(["nginx", "-c", config, "-e", place / "error.log"], stderr=subprocess.DEVNULL)
        lib.wait_for(lambda: subprocess.run(["curl", "-sfI", "-o", "/dev/null", self.url]).returncode == 0, "nginx", 10)
        self.pid = lib.children_of(self.process.pid)[0]

    def stop(self):
        self.process.terminate()
        self.process.wait()


def download(url, streams, mib):
    """Wall seconds and bytes of `streams` concurrent curls of the first `mib` MiB."""
    command = ["curl", "-sf", "-o", "/dev/null", "-r", f"0-{(mib << 20) - 1}", "-w", "%{size_download}\n", url]
    begin = time.monotonic()
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(streams)]
    sizes = [int(one.communicate()[0]) for one in running]
    seconds = time.monotonic() - begin
    assert all(one.returncode == 0 for one in running) and sizes == [mib << 20] * streams
    return seconds, sum(sizes)


def measure(servers, streams, mib, rounds):
    """GB/s and CPU s/GB of each server, in turn, so that what else the machine does meets both."""
    got = {name: {"rate": [], "cpu": []} for name in servers}
    for _ in range(rounds):
        for name, (url, pid) in servers.items():
            before = cost.cpu_seconds(pid)
            seconds, size = download(url, streams, mib)
            got[name]["rate"].append(size / seconds / 1e9)
            got[name]["cpu"].append((cost.cpu_seconds(pid) - before) / (size / 1e9))
    return got


def show(title, got):
    print(f"\n{title}")
    for name, result in got.items():
        rate, cpu = result["rate"], result["cpu"]
        print(f"  {name:<10} {statistics.median(rate):5.2f} GB/s ({min(rate):.2f}-{max(rate):.2f}), server "
              f"{statistics.median(cpu):.3f} s of CPU for a GB")
    ours, theirs = got["incidentd"], got["nginx"]
    ratio = statistics.median(ours["rate"]) / statistics.median(theirs["rate"])
    used = statistics.median(ours["cpu"]) / max(statistics.median(theirs["cpu"]), 1e-9)
    print(f"  incidentd / nginx: {ratio:.2f} of the rate, {used:.2f} of the CPU")
    return ratio


def sealed_bundle(daemon, mib):
    """A listed bundle grown to `mib` MiB: what is served is the file's bytes, whatever they are."""
    daemon.api("/api/v1/captures", "POST", {"target": "checkout", "rule": "availability"})
    capture = daemon.wait_capture()
    bundle = daemon.bundle(capture)
    chunk = os.urandom(1 << 20)
    with open(bundle, "r+b") as file:
        for _ in range(mib):
            file.write(chunk)
    return f"{daemon.url}/api/v1/captures/{capture['id']}/bundle", bundle


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--mib", type=int, default=1024, help="size of the file and of the one stream")
    parser.add_argument("--streams-mib", type=int, default=64, help="what each of the 64 streams takes of it")
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    if shutil.which("nginx") is None:
        print("skipped: no nginx (package nginx-light)")
        return 0
    choose_bin()
    version = subprocess.run(["nginx", "-v"], capture_output=True, text=True).stderr.strip()
    print(f"incidentd from {lib.BIN.parent.name}, {version}; {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}")
    parts = [lib.Faulty("--virtual-rate", 10)]
    try:
        with tempfile.TemporaryDirectory(prefix="incidentd-bench-") as place:
            place = pathlib.Path(place)
            place.chmod(0o755)
            (place / "incidentd").mkdir()
            config = lib.target_config(parts[0], rule_extra="    capture: [proc]\n")
            daemon = lib.Daemon(place / "incidentd", config)
            parts.insert(0, daemon)
            daemon.start()
            url, bundle = sealed_bundle(daemon, options.mib)
            nginx = Nginx(place, bundle)
            parts.insert(0, nginx)
            servers = {"incidentd": (url, daemon.pid_of("incidentd-brain")), "nginx": (nginx.url, nginx.pid)}
            for address, _ in servers.values():
                download(address, 1, options.mib)  # the file is in memory, both are warm
            one = measure(servers, 1, options.mib, options.rounds)
            many = measure(servers, STREAMS, options.streams_mib, options.rounds)
            while parts:
                parts.pop(0).stop()
    finally:
        for part in parts:
            part.stop()
    ratios = show(f"1 stream of {options.mib} MiB, {options.rounds} rounds", one), \
        show(f"{STREAMS} streams of {options.streams_mib} MiB, {options.rounds} rounds", many)
    good = ratios[0] >= FLOOR_ONE and ratios[1] >= FLOOR_MANY
    print(f"\nload at the end {os.getloadavg()[0]:.1f}; {'above' if good else 'BELOW'} the floors {FLOOR_ONE} and {FLOOR_MANY}")
    if options.json:
        options.json.write_text(json.dumps({"one": one, "many": many}, indent=1))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
