"""Goal: the worst outages answer no scrape; each still gives a bundle, made without any HTTP from the target."""
import signal

import pytest
from daemon import target_config, wait_for

FAST = """
collectors:
  perf: {duration: 1s}
"""


@pytest.mark.quick
def test_a_hung_service_is_captured_and_not_left_stopped_by_us(daemon, faulty):
    service = faulty("--virtual-rate", 1000)
    d = daemon(target_config(service, collectors=FAST))
    d.wait_polls(3)
    service.signal(signal.SIGSTOP)
    capture = d.wait_capture(lambda c: c["rule"] == "source_down")
    manifest = d.verify(capture)
    paths = [a["path"] for a in manifest["artifacts"] if a["status"] == "ok"]
    assert any(p.startswith("artifacts/proc/") for p in paths)
    assert service.state() == "T", "the stop is the fault's, not ours to lift"
    service.signal(signal.SIGCONT)
    wait_for(lambda: service.state() in "SR", "the service to go on")


def test_a_service_that_answers_late_but_alive_does_not_count_as_down(daemon, faulty):
    service = faulty("--virtual-rate", 1000)
    d = daemon(target_config(service, collectors=FAST))
    d.wait_polls(3)
    service.fault(latency_ms=300)
    d.wait_polls(3)
    assert not [c for c in d.captures() if c["rule"] == "source_down"]


def test_a_dead_service_is_captured_as_exited(daemon, faulty):
    service = faulty("--virtual-rate", 1000)
    d = daemon(target_config(service, collectors=FAST))
    d.wait_polls(3)
    service.process.kill()
    service.process.wait()
    capture = d.wait_capture(lambda c: c["rule"] == "target_exited")
    d.verify(capture)


def test_traffic_cut_upstream_is_captured(daemon, faulty):
    service = faulty("--virtual-rate", 1000)
    d = daemon(target_config(service, collectors=FAST))
    wait_for(lambda: any(r["rule"] == "traffic_lost" for r in d.rules()), "the built-in rule")
    d.wait_polls(30)
    wait_for(lambda: not next(r for r in d.rules() if r["rule"] == "traffic_lost")["unknown"],
             "a healthy mean to be learned", 120)
    service.fault(rate=0)
    capture = d.wait_capture(lambda c: c["rule"] == "traffic_lost")
    d.verify(capture)


def test_half_the_traffic_does_not_count_as_lost(daemon, faulty):
    service = faulty("--virtual-rate", 1000)
    d = daemon(target_config(service, collectors=FAST))
    d.wait_polls(20)
    service.fault(rate=500)
    d.wait_polls(5)
    d.wait_polls(10)
    assert d.captures() == []
