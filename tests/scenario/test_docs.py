"""Goal: the commands of the documentation do what it says, on a daemon that has just captured a dip."""
import os
import re
import subprocess

import pytest
from daemon import BIN, SOURCE, target_config

FAST = """
collectors:
  perf: {duration: 1s}
"""
STAND_INS = {  # what the reader puts in, and paths that only a Go target's bundle has
    "artifacts/pprof/heap.after.pb.gz": "artifacts/proc/after/status",
}


def commands(document):
    """The indented lines that begin with curl, tar or incidentctl, and the lines of ```sh blocks."""
    text = (SOURCE / "docs" / document).read_text()
    lines = re.findall(r"^    ((?:curl|tar|incidentctl) .*)$", text, re.M)
    for block in re.findall(r"^```sh\n(.*?)^```", text, re.M | re.S):
        lines += [line for line in block.splitlines() if line]
    return lines


@pytest.fixture
def captured(daemon, faulty, tmp_path):
    service = faulty("--virtual-rate", 1000)
    d = daemon(target_config(service, collectors=FAST), extra="limits: {per_hour: 20, per_day: 20}\n")
    d.wait_polls(3)
    service.fault(error_ratio=0.05)
    return d, d.wait_capture()


def run(line, d, capture, folder):
    for theirs, ours in STAND_INS.items():
        line = line.replace(theirs, ours)
    line = re.sub(r"checkout_availability_[\w.-]+_a1b2", capture["id"], line)
    line = line.replace("BUNDLE", capture["id"]).replace("curl ", "curl --fail-with-body ", 1)
    environment = dict(os.environ, U=d.url, INCIDENTD_SERVER=d.url, PATH=f"{BIN}:{os.environ['PATH']}")
    return subprocess.run(["bash", "-eu", "-o", "pipefail", "-c", line], cwd=folder, env=environment,
                          capture_output=True, text=True, timeout=30)


@pytest.mark.parametrize("document", ["api.md", "bundle.md"])
def test_each_command_of_the_document_works(captured, document, tmp_path):
    d, capture = captured
    folder = tmp_path / "reader"
    folder.mkdir()
    if document == "bundle.md":
        for name in (f"{capture['id']}.tar.zst", f"{capture['id']}.sha256"):
            (folder / name).write_bytes((d.store / "bundles" / name).read_bytes())
    lines = commands(document)
    assert len(lines) >= 3
    lines.sort(key=lambda line: 2 * ("DELETE" in line) + (" -d " in line))  # what changes `latest` comes last
    for line in lines:
        done = run(line, d, capture, folder)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
