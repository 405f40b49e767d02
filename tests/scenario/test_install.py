"""Goal: what `cmake --install` puts in place runs from there."""
import subprocess

import daemon as lib
from daemon import BIN, target_config


def test_the_installed_daemon_starts_and_finds_its_sisters(daemon, faulty, tmp_path, monkeypatch):
    subprocess.run(["cmake", "--install", BIN.parent, "--prefix", tmp_path / "usr"], check=True, capture_output=True)
    service = faulty("--virtual-rate", 1000)
    monkeypatch.setattr(lib, "BIN", tmp_path / "usr/sbin")
    d = daemon(target_config(service))
    d.wait_polls(2)
    done = subprocess.run([tmp_path / "usr/bin/incidentctl", "ls", "--server", d.url], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
