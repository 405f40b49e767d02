"""Goal: the API answers as docs/api.md says, to tools that are not ours: curl, and Python's HTTP client."""
import hashlib
import http.client
import json
import re
import subprocess
import urllib.parse

import daemon as lib
import pytest
import sealed as module

pytestmark = pytest.mark.quick


def curl(sealed, path, *arguments, token=True, url=None):
    """Status, headers in lower case, body."""
    more = ["-H", f"Authorization: Bearer {module.TOKEN}"] if token else []
    done = subprocess.run(["curl", "-s", "-i", "--path-as-is", "-m", "20", *more, *arguments,
                           (url or sealed.url) + path], capture_output=True, check=True)
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    while head.startswith(b"HTTP/1.1 100"):
        head, _, body = body.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    return int(lines[0].split()[1]), dict(line.lower().split(": ", 1) for line in lines[1:]), body


def problem(answer, status):
    got, headers, body = answer
    assert got == status, body
    assert headers["content-type"] == "application/problem+json"
    told = json.loads(body)
    assert told["status"] == status and told["title"] and told["detail"] and told["type"] == "about:blank"
    return told["detail"]


@pytest.fixture
def bundle(sealed):
    return f"/api/v1/captures/{sealed.capture['id']}/bundle"


def test_the_whole_bundle_comes_with_its_checksum(sealed, bundle):
    status, headers, body = curl(sealed, bundle)
    assert status == 200 and body == sealed.bytes
    assert headers["etag"] == f'"{sealed.capture["sha256"]}"'
    assert headers["x-checksum-sha256"] == hashlib.sha256(body).hexdigest()
    assert headers["accept-ranges"] == "bytes"
    assert headers["content-disposition"] == f'attachment; filename="{sealed.capture["id"]}.tar.zst"'.lower()
    assert headers["content-type"] == "application/zstd" and headers["x-content-type-options"] == "nosniff"


def test_head_tells_all_but_the_bytes(sealed, bundle):
    got = subprocess.run(["curl", "-s", "-I", "-H", f"Authorization: Bearer {module.TOKEN}", sealed.url + bundle],
                         capture_output=True, check=True, text=True).stdout
    assert "200 OK" in got and f"Content-Length: {len(sealed.bytes)}" in got


@pytest.mark.parametrize("wanted, first, last", [("0-0", 0, 0), ("100-199", 100, 199), ("500-", 500, None),
                                                 ("-10", -10, None), ("100-999999999", 100, None)])
def test_ranges(sealed, bundle, wanted, first, last):
    size = len(sealed.bytes)
    status, headers, body = curl(sealed, bundle, "-r", wanted)
    assert status == 206
    first = first % size
    last = size - 1 if last is None else last
    assert headers["content-range"] == f"bytes {first}-{last}/{size}"
    assert body == sealed.bytes[first:last + 1]


def test_a_range_past_the_end_is_416(sealed, bundle):
    answer = curl(sealed, bundle, "-H", f"Range: bytes={len(sealed.bytes)}-")
    problem(answer, 416)
    assert answer[1]["content-range"] == f"bytes */{len(sealed.bytes)}"


def test_if_range_goes_on_only_with_the_same_bundle(sealed, bundle):
    same = f'If-Range: "{sealed.capture["sha256"]}"'
    assert curl(sealed, bundle, "-r", "5-", "-H", same)[0] == 206
    status, _, body = curl(sealed, bundle, "-r", "5-", "-H", 'If-Range: "another"')
    assert status == 200 and body == sealed.bytes


def test_etags_answer_304_and_412(sealed, bundle):
    tag = f'"{sealed.capture["sha256"]}"'
    status, _, body = curl(sealed, bundle, "-H", f"If-None-Match: {tag}")
    assert (status, body) == (304, b"")
    assert curl(sealed, bundle, "-H", 'If-None-Match: "another"')[0] == 200
    assert curl(sealed, bundle, "-H", 'If-Match: "another"')[0] == 412


def test_curl_resumes_a_broken_download(sealed, bundle, tmp_path):
    part = tmp_path / "part"
    part.write_bytes(sealed.bytes[:1000])
    subprocess.run(["curl", "-s", "-f", "-C", "-", "-o", part, "-H", f"Authorization: Bearer {module.TOKEN}",
                    sealed.url + bundle], check=True)
    assert part.read_bytes() == sealed.bytes


def test_lists_and_single_ones(sealed):
    identity = sealed.capture["id"]
    captures = sealed.api("/api/v1/captures")["captures"]
    assert identity in [c["id"] for c in captures]
    one = sealed.api(f"/api/v1/captures/{identity}")
    assert one["path"] == str(sealed.bundle(sealed.capture)) and one["manifest"]["id"] == identity
    assert sealed.api(f"/api/v1/captures/{identity[:40]}")["id"] == identity, "a unique prefix will do"
    assert sealed.api("/api/v1/captures/latest")["id"] == captures[0]["id"]
    incident = sealed.api(f"/api/v1/incidents/{identity}")
    assert identity in incident["captures"] and module.ROUTE in incident["counts"]["top_labels"]
    assert sealed.api("/api/v1/incidents")["incidents"]
    assert sealed.api(f"/api/v1/captures/{identity}/manifest") == one["manifest"]
    assert "headline" in sealed.api(f"/api/v1/captures/{identity}/report")
    assert {r["rule"] for r in sealed.api("/api/v1/rules")["rules"]} >= {"availability", "source_down", "traffic_lost"}
    assert sealed.api("/api/v1/targets")["targets"][0]["up"]


def test_single_files_come_out_of_the_bundle(sealed):
    folder = sealed.open(sealed.capture)
    found = 0
    for artifact in sealed.manifest(sealed.capture)["artifacts"]:
        if artifact["path"].startswith("artifacts/odd/") and artifact["size"] > 0:
            path = f"/api/v1/captures/{sealed.capture['id']}/files/" + urllib.parse.quote(artifact["path"])
            status, headers, body = curl(sealed, path)
            assert status == 200 and body == (folder / artifact["path"]).read_bytes()
            assert headers["content-disposition"].startswith("attachment") and "sandbox" in headers["content-security-policy"]
            found += 1
    assert found >= 2


@pytest.mark.parametrize("path", ["artifacts/none", "..%2f..%2fstate.json", "../../../state.json", "manifest.json%2f",
                                  "/etc/passwd", "artifacts/odd/%0a"])
def test_what_is_not_in_the_bundle_is_404(sealed, path):
    problem(curl(sealed, f"/api/v1/captures/{sealed.capture['id']}/files/{path}"), 404)


def test_pin_and_delete(sealed):
    taken = sealed.take()
    path = f"/api/v1/captures/{taken['id']}"
    assert curl(sealed, path + "/pin", "-X", "PUT")[0] == 204
    assert sealed.api(path)["pinned"] and sealed.bundle(taken).with_name(taken["id"] + ".pin").exists()
    assert curl(sealed, path + "/pin", "-X", "DELETE")[0] == 204
    assert not sealed.api(path)["pinned"]
    assert curl(sealed, path, "-X", "DELETE")[0] == 204
    problem(curl(sealed, path), 404)
    assert not sealed.bundle(taken).exists()


def test_capture_now_is_accepted_with_its_place_and_one_at_a_time(sealed):
    body = json.dumps({"target": "shop", "rule": "availability"})
    first = http.client.HTTPConnection(module.HOST, sealed.port, timeout=20)
    second = http.client.HTTPConnection(module.HOST, sealed.port, timeout=20)
    headers = {"Authorization": f"Bearer {module.TOKEN}", "Content-Type": "application/json"}
    for connection in (first, second):
        connection.request("POST", "/api/v1/captures", body, headers)
    answers = sorted([first.getresponse(), second.getresponse()], key=lambda a: a.status)
    assert sealed.api(answers[0].headers["Location"])["state"] in ("capturing", "sealing", "sealed"), "at once"
    accepted, refused = json.loads(answers[0].read()), json.loads(answers[1].read())
    first.close()
    second.close()
    assert [a.status for a in answers] == [202, 429], refused
    assert answers[0].headers["Location"] == f"/api/v1/captures/{accepted['id']}"
    assert int(answers[1].headers["Retry-After"]) > 0 and "being taken" in refused["detail"]
    sealed.wait_capture(lambda c: c["id"] == accepted["id"])


@pytest.mark.parametrize("body, status, words", [("{", 400, "JSON"), ('{"target":"none"}', 404, "no target 'none'"),
                                                 ('{"target":"shop","x":1}', 400, "'x' is unknown"),
                                                 ('{"target":"shop","rule":"none"}', 404, "none"),
                                                 ("x" * 70000, 413, "at most")])
def test_wrong_wishes_are_told_why(sealed, body, status, words):
    assert words in problem(curl(sealed, "/api/v1/captures", "-X", "POST", "-d", body), status)


def test_wrong_addresses_and_methods(sealed):
    assert "there is no capture 'zz'" in problem(curl(sealed, "/api/v1/captures/zz"), 404)
    problem(curl(sealed, "/api/v1/nothing"), 404)
    answer = curl(sealed, "/api/v1/rules", "-X", "POST")
    problem(answer, 405)
    assert answer[1]["allow"] == "get, head"


def test_nothing_but_health_login_and_style_without_the_token(sealed, bundle):
    for path in (bundle, "/api/v1/captures", "/metrics", "/api/v1/rules"):
        answer = curl(sealed, path, token=False)
        assert "a token is needed" in problem(answer, 401)
        assert answer[1]["www-authenticate"].startswith("bearer")
    wrong = curl(sealed, bundle, "-H", "Authorization: Bearer wrong", token=False)
    assert "not this server's" in problem(wrong, 401)
    for method in ("PUT", "DELETE", "POST"):
        assert curl(sealed, f"/api/v1/captures/{sealed.capture['id']}", "-X", method, token=False)[0] in (401, 405)
    assert curl(sealed, "/-/reload", "-X", "POST", token=False)[0] == 401
    for path in ("/-/healthy", "/-/ready", "/login", "/style.css"):
        assert curl(sealed, path, token=False)[0] == 200
    assert curl(sealed, "/", token=False)[:1] == (303,)


def test_the_health_listener_serves_nothing_else(sealed, bundle):
    url = f"http://127.0.0.1:{sealed.health_port}"
    assert curl(sealed, "/-/healthy", url=url, token=False)[0] == 200
    assert curl(sealed, "/-/ready", url=url, token=False)[0] == 200
    for path in (bundle, "/", "/metrics", "/api/v1/captures", "/login", "/style.css"):
        problem(curl(sealed, path, url=url), 404)
    problem(curl(sealed, "/-/healthy", "-X", "POST", url=url), 405)


def test_the_own_metrics_are_what_promtool_accepts(sealed):
    page = curl(sealed, "/metrics")[2]
    checked = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert re.search(rb"incidentd_polls_total\{target=\"shop\"\} \d+", page)


def test_reload_takes_a_good_configuration_and_refuses_a_bad_one(sealed):
    good = sealed.config.read_text()
    assert curl(sealed, "/-/reload", "-X", "POST")[0] == 202
    sealed.config.write_text(good + "nonsense: 1\n")
    status, _, body = curl(sealed, "/-/reload", "-X", "POST")
    sealed.config.write_text(good)
    assert status >= 400, body
    assert sealed.api("/api/v1/rules")["rules"]


def test_without_a_token_foreign_hosts_are_misdirected(daemon, faulty):
    d = daemon(lib.target_config(faulty("--virtual-rate", 10)))
    detail = problem(curl(d, "/api/v1/captures", "-H", "Host: evil.example", token=False), 421)
    assert "loopback" in detail
    assert curl(d, "/api/v1/captures", token=False)[0] == 200
    status, headers, body = curl(d, "/", "-H", "Host: evil.example", token=False)
    assert status == 421 and headers["content-type"].startswith("text/html") and b"loopback" in body
    crossing = curl(d, "/api/v1/captures", "-X", "POST", "-d", '{"target":"checkout"}', "-H",
                    "Origin: http://evil.example", token=False)
    problem(crossing, 403)
