"""Goal: a real dip below the objective becomes one sealed bundle that opens, and a healthy service never does."""
import json
import os
import subprocess

import pytest
from daemon import BIN, target_config, wait_for

FAST = """
collectors:
  perf: {duration: 1s}
"""


@pytest.mark.quick
def test_a_dip_of_errors_becomes_one_sealed_bundle_that_opens(daemon, faulty):
    service = faulty("--virtual-rate", 1000)
    d = daemon(target_config(service, collectors=FAST))
    d.wait_polls(3)
    service.fault(error_ratio=0.05)
    capture = d.wait_capture()
    service.fault(error_ratio=0)

    assert capture["state"] == "sealed"
    assert capture["rule"] == "availability" and capture["target"] == "checkout"
    assert capture["grade"] == "full", "5 % is fifty times what the objective allows"
    manifest = d.verify(capture)
    assert manifest["id"] == capture["id"]
    assert manifest["counts"]["bad"] >= 3
    assert "code=500" in manifest["counts"]["top_labels"] or "code=503" in manifest["counts"]["top_labels"]
    by_path = {a["path"]: a for a in manifest["artifacts"]}
    assert any(p.startswith("artifacts/proc/before/") for p in by_path)
    assert any(p.startswith("artifacts/proc/after/") for p in by_path)
    assert manifest["target"]["pid"] == service.pid
    assert "strace" not in {a["collector"] for a in manifest["artifacts"]}, "pausing kinds run only when listed"


@pytest.mark.quick
def test_a_healthy_service_does_not_fire(daemon, faulty):
    service = faulty("--virtual-rate", 1000)
    d = daemon(target_config(service))
    d.wait_polls(20)
    assert d.captures() == []
    assert d.incidents() == []


def test_three_of_three_failing_fires_and_one_of_ten_does_not(daemon, faulty):
    rare = faulty("--virtual-rate", 1)
    d = daemon(target_config(rare, collectors=FAST))
    d.wait_polls(5)
    rare.fault(error_ratio=1)
    capture = d.wait_capture()
    assert d.manifest(capture)["counts"]["bad"] >= 3

    other = faulty("--virtual-rate", 1)
    e = daemon(target_config(other))
    e.wait_polls(5)
    other.fault(error_ratio=0.1)
    e.wait_polls(12)
    assert e.captures() == []


def test_bursts_within_keep_firing_for_are_dips_of_one_incident(daemon, faulty):
    service = faulty("--virtual-rate", 1000)
    d = daemon(target_config(service, collectors=FAST))
    d.wait_polls(3)
    for burst in range(3):
        service.fault(error_ratio=0.05)
        wait_for(lambda: d.incidents() and d.rules()[0]["counts"]["ratio"] > 0.01, "the burst to be seen")
        service.fault(error_ratio=0)
        wait_for(lambda: d.rules()[0]["counts"]["bad"] == 0, "the burst to end")
    incidents = d.incidents()
    assert len([i for i in incidents if i["rule"] == "availability"]) == 1
    wait_for(lambda: not d.incidents()[0]["open"], "the incident to be resolved")
    d.wait_capture()


def test_cooldown_suppresses_a_like_dip_and_says_so(daemon, faulty):
    service = faulty("--virtual-rate", 1000)
    d = daemon(target_config(service, collectors=FAST, rule_extra="    cooldown: 10m"))
    d.wait_polls(3)
    service.fault(error_ratio=0.05)
    d.wait_capture()
    service.fault(error_ratio=0)
    wait_for(lambda: d.incidents() and not d.incidents()[0]["open"], "the incident to be resolved")
    service.fault(error_ratio=0.05)
    wait_for(lambda: len(d.incidents()) == 2, "a second incident")
    second = d.incidents()[0]
    assert second["suppressed"] >= 1 and "cooldown" in second["suppressed_why"]
    service.fault(error_ratio=0.5)
    worse = d.wait_capture(lambda c: c["incident"] == second["id"])
    assert worse, "a dip ten times worse is captured all the same"


@pytest.mark.quick
def test_incidentctl_shows_gets_and_verifies(daemon, faulty, tmp_path):
    service = faulty("--virtual-rate", 1000)
    d = daemon(target_config(service, collectors=FAST))
    d.wait_polls(3)
    service.fault(error_ratio=0.05)
    capture = d.wait_capture()

    def ctl(*arguments, ok=True):
        done = subprocess.run([BIN / "incidentctl", *arguments, "--server", d.url], cwd=tmp_path,
                              capture_output=True, text=True, env=dict(os.environ, NO_COLOR="1"))
        assert (done.returncode == 0) == ok, done.stdout + done.stderr
        return done.stdout + done.stderr

    assert "availability" in ctl("ls")
    assert json.loads(ctl("ls", "--json"))
    shown = ctl("show", "latest")
    assert capture["id"] in shown and "0.999" in shown.replace("99.9 %", "0.999")
    ctl("get", "latest", "-o", str(tmp_path / "b.tar.zst"))
    assert (tmp_path / "b.tar.zst").read_bytes() == d.bundle(capture).read_bytes()
    assert "exists" in ctl("get", "latest", "-o", str(tmp_path / "b.tar.zst"), ok=False)
    ctl("pin", capture["id"])
    assert next(c for c in d.captures() if c["id"] == capture["id"])["pinned"]
    ctl("unpin", capture["id"])
    ctl("rm", capture["id"])
    wait_for(lambda: not d.bundle(capture).exists(), "the bundle to go", 5)


def test_capture_now_runs_without_an_incident(daemon, faulty):
    service = faulty("--virtual-rate", 1000)
    d = daemon(target_config(service, collectors=FAST))
    started = d.api("/api/v1/captures", "POST", {"target": "checkout"})
    assert started
    capture = d.wait_capture(lambda c: c["reason"] == "manual")
    d.verify(capture)
