"""Goal: captures are bounded in number and in space, each bound says so where it holds something back, survives a
restart, and never costs the evidence that is worth most."""
import contextlib
import os
import subprocess

import pytest
from daemon import target_config, wait_for

RULE = "    capture: [proc]\n    cooldown: 0s\n"


def config(service, rule=RULE, collectors=""):
    return target_config(service, rule, collectors=collectors).replace("keep_firing_for: 5s", "keep_firing_for: 1s")


def incident(d, accept=lambda i: True):
    return next((i for i in d.incidents() if i["rule"] == "availability" and accept(i)), None)


def wait_quiet(d, service):
    service.fault(error_ratio=0)
    wait_for(lambda: incident(d) and not incident(d)["open"], "the incident to be resolved")


def take(d, count=1):
    """Manual captures, one after another; their ids in order."""
    ids = []
    for _ in range(count):
        asked = d.api("/api/v1/captures", "POST", {"target": "checkout", "rule": "availability"})
        d.wait_capture(lambda c: c["id"] == asked["id"])
        ids.append(asked["id"])
    return ids


def test_limits_hold_captures_back_with_the_reason_and_survive_a_restart(daemon, faulty):
    service = faulty("--virtual-rate", 1000)
    d = daemon(config(service), extra="limits: {per_incident: 1, per_hour: 2, per_day: 10}\n")
    d.wait_polls(2)
    service.fault(error_ratio=0.02)
    d.wait_capture()
    service.fault(error_ratio=0.3)
    wait_for(lambda: "limits.per_incident: 1 of 1" in incident(d)["suppressed_why"], "the first limit", 10)
    wait_quiet(d, service)

    first = incident(d)["id"]
    service.fault(error_ratio=0.02)
    held = wait_for(lambda: incident(d, lambda i: i["id"] != first), "a second incident", 10)
    assert "limits.per_hour: 1 of 2" in held["suppressed_why"] and "three times worse" in held["suppressed_why"]
    assert held["suppressed"] >= 1 and len(d.captures()) == 1
    wait_quiet(d, service)

    assert d.stop() == 0
    d.start()
    assert {i["id"] for i in d.incidents()} == {first, held["id"]}, "incidents survive a restart"
    d.wait_polls(2)
    service.fault(error_ratio=0.02)
    third = wait_for(lambda: incident(d, lambda i: i["id"] not in (first, held["id"])), "a third incident", 10)
    assert "limits.per_hour: 1 of 2" in third["suppressed_why"], third
    assert next(r for r in d.rules() if r["rule"] == "availability")["hour_left"] == 1
    service.fault(error_ratio=0.3)
    worse = d.wait_capture(lambda c: c["incident"] == third["id"])
    assert worse["reason"] in ("worse", "raised"), "the last slot is for what is three times worse"


def test_retention_by_count_keeps_newest_and_pinned_and_never_an_open_incidents(daemon, faulty):
    service = faulty("--virtual-rate", 1000)
    d = daemon(config(service), extra="store: {path: %s, min_free: 0%%, max_count: 4}\n" % "PLACE", start=False)
    d.config.write_text(d.config.read_text().replace("PLACE", str(d.store)))
    d.start()
    d.wait_polls(2)
    service.fault(error_ratio=0.02)
    of_incident = d.wait_capture(lambda c: c["rule"] == "availability")["id"]
    ids = take(d)
    d.api(f"/api/v1/captures/{ids[0]}/pin", "PUT")
    ids += take(d, 5)
    assert incident(d)["open"]

    def kept():
        return {c["id"] for c in d.captures()}
    wait_for(lambda: len(kept()) <= 4, "retention to be carried out", 15)
    assert kept() == {of_incident, ids[0], *ids[-2:]}
    files = {p.name.removesuffix(".tar.zst") for p in (d.store / "bundles").glob("*.tar.zst")}
    wait_for(lambda: {p.name.split(".tar.zst")[0] for p in (d.store / "bundles").glob("*.tar.zst")} == kept(),
             f"the files to be gone: {files}", 5)
    assert f"retention: deleting bundle '{ids[1]}'" in d.text()


def test_retention_by_bytes_deletes_the_oldest_and_keeps_the_pinned(daemon, faulty):
    service = faulty("--virtual-rate", 1000)
    collectors = 'collectors:\n  bulk: {type: exec, argv: [head, -c, "600000", /dev/urandom]}\n'
    d = daemon(config(service, "    capture: [bulk]\n", collectors), start=False,
               extra="store: {path: PLACE, min_free: 0%, max_bytes: 3MiB}\n")
    d.config.write_text(d.config.read_text().replace("PLACE", str(d.store)))
    d.start()
    ids = take(d)
    d.api(f"/api/v1/captures/{ids[0]}/pin", "PUT")
    ids += take(d, 7)
    captures = {c["id"]: c for c in d.captures()}
    assert sum(c["size_bytes"] for c in captures.values()) <= 3 << 20
    assert len(captures) >= 4, "no more goes than must"
    assert ids[0] in captures and ids[-1] in captures
    kept = [one in captures for one in ids[1:]]
    assert kept == sorted(kept) and not kept[0], "what was deleted is older than what is kept"
    for one in captures.values():
        d.verify(one)


@pytest.fixture
def disk(tmp_path):
    """Small file systems: disk(size) is a folder on one."""
    if os.geteuid() != 0:
        pytest.skip("mounts a tmpfs: needs root")
    made = []

    def make(size):
        place = tmp_path / f"disk{len(made)}"
        place.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "small", place], check=True)
        made.append(place)
        return place
    make.made = made
    yield make
    for place in made:
        subprocess.run(["umount", "-l", place], check=True)


def test_a_disk_that_lacks_room_for_a_capture_gets_a_light_one_that_says_so(disk, daemon, faulty):
    service = faulty("--virtual-rate", 1000)
    d = daemon(config(service, "    capture: [proc, perf]\n"),
               extra=f"store: {{path: {disk('60m')}/store, min_free: 0%}}\n")
    d.wait_polls(2)
    service.fault(error_ratio=0.2)
    capture = d.wait_capture()
    manifest = d.api(f"/api/v1/captures/{capture['id']}")["manifest"]
    assert [s for s in manifest["skipped"] if s["collector"] == "perf" and "MiB free" in s["why"]], manifest["skipped"]
    assert [a for a in manifest["artifacts"] if a["collector"] == "proc" and a["status"] == "ok"]
    assert "heavy collectors are left out" in d.text()


def test_a_disk_with_almost_nothing_left_refuses_and_the_api_says_why(disk, daemon, faulty):
    service = faulty("--virtual-rate", 1000)
    d = daemon(config(service), extra=f"store: {{path: {disk('20m')}/store, min_free: 0%}}\n")
    d.wait_polls(2)
    service.fault(error_ratio=0.2)
    held = wait_for(lambda: incident(d, lambda i: i["suppressed"] > 0), "the refusal", 20)
    assert "MiB free" in held["suppressed_why"]
    assert "is refused: " in d.text()
    d.wait_polls(2)


def test_a_flooding_collector_is_cut_so_that_the_bundle_still_fits(disk, daemon, faulty):
    service = faulty("--virtual-rate", 1000)
    collectors = 'collectors:\n  flood: {type: exec, argv: [head, -c, "260000000", /dev/urandom], max_bytes: 300MiB}\n'
    d = daemon(config(service, "    capture: [proc, flood]\n", collectors),
               extra=f"store: {{path: {disk('140m')}/store, min_free: 0%}}\n")
    d.store = disk.made[0] / "store"
    d.wait_polls(2)
    service.fault(error_ratio=0.2)
    capture = d.wait_capture()
    assert capture["state"] == "sealed"
    manifest = d.verify(capture)
    flood = next(a for a in manifest["artifacts"] if a["collector"] == "flood")
    assert flood["status"] == "partial" and flood["truncated"] and 30e6 < flood["size"] <= 140 * 2**20 / 4, flood


def test_a_disk_that_others_fill_during_a_capture_loses_nothing(disk, daemon, faulty):
    place = disk("160m")
    service = faulty("--virtual-rate", 1000)
    collectors = 'collectors:\n  slow: {type: exec, argv: [/bin/sh, -c, "sleep 1; exec head -c 100000 /dev/urandom"]}\n'
    d = daemon(config(service, "    capture: [proc, slow]\n", collectors),
               extra=f"store: {{path: {place}/store, min_free: 0%}}\n")
    d.store = place / "store"
    d.wait_polls(2)
    service.fault(error_ratio=0.2)
    wait_for(lambda: d.pid_of("sleep"), "the capture to run", 20)
    with contextlib.suppress(OSError), open(place / "ballast", "wb", buffering=0) as ballast:
        while ballast.write(bytes(1 << 20)):
            pass
    wait_for(lambda: "could not be sealed" in d.text(), "the sealer to fail", 20)
    service.fault(error_ratio=0)
    assert "No space left on device" in d.text(), "told with its cause"
    polled = d.metric("incidentd_polls_total", target="checkout")
    wait_for(lambda: d.metric("incidentd_polls_total", target="checkout") >= polled + 2, "polls to go on", 10)
    assert list((d.store / "journal").glob("*.jsonl")) and any((d.store / "staging").iterdir()), "kept for later"

    (place / "ballast").unlink()
    assert d.stop() == 0
    d.start()
    capture = d.wait_capture(lambda c: c["rule"] == "availability")
    manifest = d.verify(capture)
    assert [a for a in manifest["artifacts"] if a["collector"] == "proc" and a["status"] == "ok"]
    wait_for(lambda: d.metric("incidentd_store_free_bytes") > 150 << 20, "staging to be gone and measured", 5)
    service.process.kill()
    d.wait_capture(lambda c: c["rule"] == "target_exited")
    assert capture["id"] in {c["id"] for c in d.captures()}, "no bundle is deleted for a figure of before"
