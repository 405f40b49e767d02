"""Goal: the worst outages answer no scrape; each still gives a bundle, made without any HTTP from the target."""
import signal

import pytest
from daemon import free_port, target_config, wait_for

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


def test_a_restarted_target_is_found_again(daemon, faulty):
    port = free_port()
    config = f"""
targets:
  checkout:
    process: {{port: {port}}}
    metrics: http://127.0.0.1:{port}/metrics
    interval: 1s
    startup_grace: 0s
rules:
  - name: availability
    target: checkout
    slo:
      objective: 0.999
      good: http_requests_total{{code!~"5.."}}
      total: http_requests_total
{FAST}
"""
    first = faulty("--port", port, "--virtual-rate", 1000)
    d = daemon(config)
    wait_for(lambda: d.api("/api/v1/targets")["targets"][0]["pid"] == first.pid, "the target to be found by its port")
    d.wait_polls(2)
    first.process.kill()
    first.process.wait()
    exited = d.wait_capture(lambda c: c["rule"] == "target_exited")
    assert d.manifest(exited)["target"]["pid"] == first.pid

    second = faulty("--port", port, "--virtual-rate", 1000)
    wait_for(lambda: d.api("/api/v1/targets")["targets"][0]["pid"] == second.pid, "the new process to be found")
    d.wait_polls(3)
    assert not [c for c in d.captures() if c["rule"] == "availability"], "counters that start anew are no dip"
    second.fault(error_ratio=0.05)
    capture = d.wait_capture(lambda c: c["rule"] == "availability")
    assert d.manifest(capture)["target"]["pid"] == second.pid
