"""Goal: a good configuration comes into force whole, by signal or by request, with what was learned kept; a bad one
changes nothing and whoever asked is told what is wrong."""
import json
import signal
import urllib.error
import urllib.request

import pytest
from daemon import free_port, target_config, wait_for

COLLECTORS = """
collectors:
  perf: {duration: 1s}
  slow: {type: exec, argv: [/bin/sh, -c, "sleep 3; echo %s"], deadline: 10s}
"""
SECOND_RULE = """
  - name: second
    target: checkout
    slo: {objective: 0.99, good: 'http_requests_total{code!~"5.."}', total: http_requests_total}
"""


def config(service, word="old", more=""):
    return target_config(service, "    capture: [proc, slow]\n" + more, collectors=COLLECTORS % word)


def generation(d):
    return d.metric("incidentd_config_generation")


def post_reload(d):
    """Status and detail of the answer."""
    try:
        with urllib.request.urlopen(urllib.request.Request(d.url + "/-/reload", method="POST"), timeout=20) as answer:
            return answer.status, ""
    except urllib.error.HTTPError as problem:
        return problem.code, json.loads(problem.read())["detail"]


def names(d):
    return {r["rule"] for r in d.rules()}


@pytest.mark.quick
def test_sighup_with_a_good_file_brings_it_into_force(daemon, faulty):
    service = faulty("--virtual-rate", 1000)
    d = daemon(config(service))
    d.wait_polls(2)
    assert generation(d) == 1 and "second" not in names(d)
    d.write(config(service, more=SECOND_RULE))
    d.process.send_signal(signal.SIGHUP)
    wait_for(lambda: generation(d) == 2, "generation 2", 10)
    wait_for(lambda: "second" in names(d), "the new rule", 5)
    wait_for(lambda: not next(r for r in d.rules() if r["rule"] == "second")["unknown"], "the new rule to be active", 10)


def test_the_answer_to_a_request_comes_when_the_new_file_is_in_force(daemon, faulty):
    service = faulty("--virtual-rate", 1000)
    d = daemon(config(service))
    d.write(config(service, more=SECOND_RULE))
    assert post_reload(d) == (202, "")
    assert generation(d) == 2 and "second" in names(d)


@pytest.mark.parametrize("bad, told", [
    ("targets: {checkout: {metrics: [1}", "incidentd.yaml:1:"),
    ("targets: {checkout: {metricz: 'http://127.0.0.1:1/'}}\n", "did you mean 'metrics'"),
])
def test_a_bad_file_changes_nothing_and_says_what_is_wrong(daemon, faulty, bad, told):
    service = faulty("--virtual-rate", 1000)
    d = daemon(config(service))
    d.wait_polls(1)
    d.config.write_text(bad)
    status, detail = post_reload(d)
    assert 400 <= status < 500, (status, detail)
    assert told in detail and str(d.config) in detail, detail
    assert "reload refused, the old configuration stays" in d.text()
    assert f"{d.config}:" in d.text(), "each problem with its place"
    before = d.text().count("reload refused")
    d.process.send_signal(signal.SIGHUP)
    wait_for(lambda: d.text().count("reload refused") > before, "the second refusal in the log", 10)
    d.wait_polls(2)
    wait_for(lambda: d.metric("incidentd_config_reload_failures_total") == 2, "the counter", 3)
    assert generation(d) == 1
    d.write(config(service, more=SECOND_RULE))
    assert post_reload(d) == (202, ""), "a refused file does not stand in the way of a good one"


def test_store_and_accounts_do_not_change_by_reload(daemon, faulty, tmp_path):
    service = faulty("--virtual-rate", 1000)
    d = daemon(config(service))
    d.config.write_text(d.config.read_text().replace(str(d.store), str(tmp_path / "elsewhere")))
    status, detail = post_reload(d)
    assert status == 422 and "restart incidentd" in detail
    assert generation(d) == 1 and not (tmp_path / "elsewhere").exists()


def test_the_listen_address_changes_and_a_taken_one_changes_nothing(daemon, faulty):
    service = faulty("--virtual-rate", 1000)
    d = daemon(config(service))
    old = d.url
    taken = f"127.0.0.1:{service.port}"
    d.config.write_text(d.config.read_text().replace(f"127.0.0.1:{d.port}", taken))
    status, detail = post_reload(d)
    assert status == 422 and taken in detail and "another program holds the port" in detail
    assert d.status("/-/ready") == 200
    d.wait_polls(2)

    d.port = free_port()
    d.write(config(service, more=SECOND_RULE))
    assert post_reload(d) == (202, ""), "the answer leaves by the old address"
    d.url = f"http://127.0.0.1:{d.port}"
    wait_for(lambda: d.status("/-/ready") == 200, "the new address", 5)
    assert "second" in names(d)

    def old_is_gone():
        now, d.url = d.url, old
        try:
            return d.status("/-/ready") == 0
        finally:
            d.url = now
    wait_for(old_is_gone, "the old address to be closed", 5)


def test_a_second_health_listener_comes_by_reload_on_the_same_address(daemon, faulty):
    service = faulty("--virtual-rate", 1000)
    d = daemon(config(service))
    health = free_port()
    d.config.write_text(d.config.read_text().replace(
        f"{{listen: 127.0.0.1:{d.port}}}", f"{{listen: 127.0.0.1:{d.port}, health_listen: 127.0.0.1:{health}}}"))
    assert post_reload(d) == (202, "")

    def healthy():
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{health}/-/healthy", timeout=2).status == 200
        except OSError:
            return False
    wait_for(healthy, "the health listener", 5)
    assert d.status("/-/ready") == 200


def test_what_was_learned_is_kept(daemon, faulty):
    service = faulty("--virtual-rate", 1000)
    d = daemon(config(service, more="    cooldown: 10m\n"))
    d.wait_polls(3)
    service.fault(error_ratio=0.05)
    d.wait_capture()
    service.fault(error_ratio=0)
    wait_for(lambda: d.incidents() and not d.incidents()[0]["open"], "the incident to be resolved")
    assert next(r for r in d.rules() if r["rule"] == "availability")["cooldown_left_ms"] > 0
    d.write(config(service, more="    cooldown: 10m\n" + SECOND_RULE))
    assert post_reload(d)[0] == 202
    wait_for(lambda: "second" in names(d), "the new rule", 5)
    rules = {r["rule"]: r for r in d.rules()}
    assert rules["availability"]["cooldown_left_ms"] > 0
    d.wait_polls(1)
    assert len(d.incidents()) == 1 and len(d.captures()) == 1


def test_a_running_capture_keeps_the_plan_it_began_under(daemon, faulty):
    service = faulty("--virtual-rate", 1000)
    d = daemon(config(service, word="old"))
    d.wait_polls(3)
    service.fault(error_ratio=0.05)
    wait_for(lambda: d.pid_of("sleep") is not None, "the capture to run", 20)
    d.write(config(service, word="new"))
    assert post_reload(d)[0] == 202
    assert generation(d) == 2 or wait_for(lambda: generation(d) == 2, "generation 2", 3)
    assert d.pid_of("sleep") is not None, "it still runs"
    service.fault(error_ratio=0)
    capture = d.wait_capture()
    assert capture["state"] == "sealed"
    d.verify(capture)
    folder = d.open(capture)
    said = "".join(p.read_text() for p in (folder / "artifacts" / "slow").iterdir())
    assert "old" in said and "new" not in said
