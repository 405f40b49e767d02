"""Goal: whatever a metrics page does, incidentd says so once and clearly, calls the rule unknown rather than 0 or 1,
stays small, and polls its other targets on time."""
import re
import time
from types import SimpleNamespace

import pytest
from daemon import SANITIZED, Faulty, free_port, let_through, target_config, wait_for

PAGES = {  # what the one line of the log must name
    "huge": "larger than we read",
    "endless": "larger than we read|within the timeout",
    "slow": "within the timeout",
    "garbage": "",
    "redirect": "redirects are not followed",
    "error": "status 500",
    "empty": "",
    "truncated": "ended before the page did|broke before",
    "closed_port": "nothing accepts connections",
    "no_such_name": "cannot be resolved",
}
RULE = """  - name: availability
    target: {name}
    slo:
      objective: 0.999
      good: http_requests_total{{code!~"5.."}}
      total: http_requests_total
"""


def rss_kib(pid):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))


def configuration(urls):
    targets = "".join(f"  {name}:\n    metrics: {url}\n    startup_grace: 0s\n" for name, url in urls.items())
    return f"targets:\n{targets}rules:\n" + "".join(RULE.format(name=name) for name in urls)


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """One daemon that has polled every kind of page for a while, beside a healthy one."""
    from daemon import Daemon
    services = {}
    for page in PAGES:
        if page not in ("closed_port", "no_such_name"):
            services[page] = Faulty("--virtual-rate", 1000, "--fault", f"page={page}")
    services["checkout"] = Faulty("--virtual-rate", 1000)
    urls = {name: f"{service.url}/metrics" for name, service in services.items()}
    urls["closed_port"] = f"http://127.0.0.1:{free_port()}/metrics"
    urls["no_such_name"] = "http://name.invalid:8080/metrics"
    place = tmp_path_factory.mktemp("hostile")
    let_through(place)
    d = Daemon(place, configuration(urls))
    try:
        d.start()
        started = time.monotonic()
        d.wait_polls(12)
        elapsed = time.monotonic() - started
        yield SimpleNamespace(daemon=d, urls=urls, log=d.text(), rules={r["target"]: r for r in d.rules()
                                                                       if r["rule"] == "availability"},
                              captures=d.captures(), elapsed=elapsed,
                              rss_kib=rss_kib(d.pid_of("incidentd-brain")),
                              late={t: d.metric("incidentd_poll_late_max_seconds", target=t) for t in urls},
                              polls={t: d.metric("incidentd_polls_total", target=t) for t in urls})
    finally:
        d.stop()
        for service in services.values():
            service.stop()


@pytest.mark.parametrize("page", PAGES)
def test_a_hostile_page_is_told_once_with_url_reason_and_remedy(seen, page):
    lines = [line for line in seen.log.splitlines() if f"target '{page}'" in line and " is polled each " not in line]
    assert len(lines) == 1, lines
    assert seen.urls[page] in lines[0]
    assert re.search(PAGES[page], lines[0]), lines[0]
    assert re.search(r"\([^)]{15,}\)", lines[0]), f"no remedy in: {lines[0]}"


@pytest.mark.parametrize("page", PAGES)
def test_a_hostile_page_makes_the_rule_unknown_and_captures_nothing(seen, page):
    assert seen.polls[page] >= 3
    assert seen.rules[page]["unknown"], seen.rules[page]
    assert seen.rules[page]["state"] == "inactive"
    assert [c for c in seen.captures if c["target"] == page and c["rule"] == "availability"] == []


def test_a_healthy_target_beside_them_is_polled_on_time_and_is_known(seen):
    assert seen.late["checkout"] < (2 if SANITIZED else 0.2), seen.late
    assert seen.elapsed < 14, "12 polls at 1 s"
    assert not seen.rules["checkout"]["unknown"]
    assert not [line for line in seen.log.splitlines() if "target 'checkout'" in line]


@pytest.mark.skipif(SANITIZED, reason="a sanitizer's memory is not ours")
def test_hostile_pages_leave_the_brain_small(seen):
    print(f"{seen.rss_kib} KiB at most; late: {seen.late}")
    assert seen.rss_kib < 64 * 1024


def test_a_target_that_is_polled_less_often_is_told_once_with_the_reason(daemon, faulty):
    service = faulty("--virtual-rate", 1000)
    d = daemon(target_config(service).replace("interval: 1s", "interval: 500ms"))
    d.wait_polls(3)
    assert " is polled each " not in d.text()
    service.fault(metrics_latency_ms=300)
    wait_for(lambda: " is polled each " in d.text(), "the line about the interval", 30)
    d.wait_polls(2)
    lines = [line for line in d.text().splitlines() if " is polled each " in line]
    assert len(lines) == 1, lines
    assert "instead of 500ms" in lines[0] and "its page takes about" in lines[0]
