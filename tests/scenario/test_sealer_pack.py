"""Goal: whatever lies in staging, the bundle opens with everybody's tar and every digest verifies."""
import hashlib
import json
import os
import subprocess
import tarfile

import pytest

from daemon import BIN, SANITIZED


def run(verb, argument, given, output, status="/dev/null"):
    limit = "" if SANITIZED else "ulimit -v 524288; "
    return subprocess.run(["bash", "-c", f'{limit}exec "$0" "$1" "$2" 3<"$3" 4>"$4" 5>"$5"',
                           str(BIN / "incidentd-sealer"), verb, argument, str(given), str(output), str(status)],
                          capture_output=True, text=True).returncode


def pack(staging, tmp_path):
    bundle, status = tmp_path / "cap.tar.zst", tmp_path / "status"
    assert run("pack", "cap", staging, bundle, status) == 0
    answer = json.loads(status.read_text())
    assert answer["ok"] and answer["size"] == bundle.stat().st_size
    assert answer["sha256"] == hashlib.sha256(bundle.read_bytes()).hexdigest()
    subprocess.run(["zstd", "-tq", str(bundle)], check=True)
    names = subprocess.run(["tar", "--zstd", "-tf", str(bundle)], check=True, capture_output=True, text=True).stdout
    return bundle, answer["manifest"], names.split()


def members(bundle):
    plain = subprocess.run(["zstd", "-dcq", str(bundle)], check=True, capture_output=True).stdout
    import io
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        return {m.name: tar.extractfile(m).read() for m in tar}


@pytest.fixture
def staging(tmp_path):
    folder = tmp_path / "staging"
    (folder / "artifacts/logs").mkdir(parents=True)
    (folder / "meta").mkdir()
    (folder / "base.json").write_text('{"schema_version":1,"id":"cap","partial":false,"partial_why":""}')
    (folder / "artifacts/logs/app.log").write_bytes(os.urandom(300000) + b"x" * 3000000)
    (folder / "report.json").write_text('{"schema_version":1}\n')
    return folder


def test_every_member_verifies_and_the_manifest_is_last(staging, tmp_path):
    bundle, manifest, names = pack(staging, tmp_path)
    assert names[-1] == "cap/manifest.json" and all(n.startswith("cap/") for n in names)
    contents = members(bundle)
    assert json.loads(contents["cap/manifest.json"]) == manifest
    listed = manifest["artifacts"] + manifest["files"]
    assert {"cap/" + item["path"] for item in listed} | {"cap/manifest.json"} == set(contents)
    for item in listed:
        data = contents["cap/" + item["path"]]
        assert hashlib.sha256(data).hexdigest() == item["sha256"] and len(data) == item["size"]


def test_links_fifos_and_odd_names_stay_out_and_are_told(staging, tmp_path):
    logs = staging / "artifacts/logs"
    os.symlink("/etc/passwd", logs / "link")
    os.symlink("/etc", staging / "artifacts/folder")
    os.mkfifo(logs / "fifo")
    (logs / "a\nb").write_text("x")
    (logs / ".hidden").write_text("x")
    os.symlink("/etc/passwd", staging / "meta/000-x-y.jsonl")
    _, manifest, names = pack(staging, tmp_path)
    assert names == ["cap/artifacts/logs/app.log", "cap/report.json", "cap/manifest.json"]
    skipped = {a["path"]: a["error"] for a in manifest["artifacts"] if a["status"] == "skipped"}
    assert set(skipped) == {"artifacts/logs/link", "artifacts/folder", "artifacts/logs/fifo", "artifacts/logs/a?b",
                            "artifacts/logs/.hidden"}


def test_five_thousand_files_are_cut_and_counted(staging, tmp_path):
    for i in range(5000):
        (staging / f"artifacts/logs/n{i}").write_bytes(b"")
    _, manifest, names = pack(staging, tmp_path)
    assert len(names) == 4097 and manifest["files_left_off"] == 5002 - 4096


def test_a_full_disk_fails_with_a_reason(staging, tmp_path):
    status = tmp_path / "status"
    assert run("pack", "cap", staging, "/dev/full", status) == 1
    answer = json.loads(status.read_text())
    assert not answer["ok"] and "No space left" in answer["error"]


def test_extract_gives_one_member(staging, tmp_path):
    bundle, _, _ = pack(staging, tmp_path)
    output = tmp_path / "out"
    assert run("extract", "artifacts/logs/app.log", bundle, output) == 0
    assert output.read_bytes() == (staging / "artifacts/logs/app.log").read_bytes()
    assert run("extract", "artifacts/logs/none", bundle, output) == 2
    data = bundle.read_bytes()
    bundle.write_bytes(data[:len(data) // 2])
    assert run("extract", "manifest.json", bundle, output) == 1


def test_records_of_a_hijacked_collector_never_cost_the_bundle(staging, tmp_path):
    line = {"event": "artifact", "status": "ok", "argv": [], "path": "artifacts/logs/app.log"}
    hostile = {
        "001-garbage": os.urandom(1 << 20),
        "002-deep": b"[" * (1 << 19) + b"\n" + b'{"a":' * 100000 + b"\n",
        "003-runs": b'{"event":"start"}\n' * 50000,
        "004-long": b"\n".join(json.dumps({**line, "argv": [1] * 300000}).encode() for _ in range(120)),
        "005-paths": b"\n".join(json.dumps({**line, "path": p}).encode() for p in (
            "../../etc/passwd", "/etc/passwd", "artifacts/../../x", "artifacts//x", "base.json", "artifacts/\x1b[2J", "artifacts/a\nb",
            "artifacts/.ssh/x", "artifacts/" + "x/" * 5000)),
        "006-types": b'{"event":7}\n{"event":"artifact","path":{}}\n{"event":"end"}\n"x"\nnull\n{"event":"start","collector":[]}\n',
    }
    for name, data in hostile.items():
        (staging / f"meta/{name}.jsonl").write_bytes(data)
    for i in range(100):
        (staging / f"meta/7{i:02}-big.jsonl").write_bytes(b'{"event":"start","collector":"x"}\n' * 30000)
    _, manifest, names = pack(staging, tmp_path)
    assert "cap/artifacts/logs/app.log" in names and manifest["partial"] and "records" in manifest["partial_why"]
    assert [a["path"] for a in manifest["artifacts"]] == ["artifacts/logs/app.log"]
    assert len(manifest["runs"]) <= 2048


def test_a_record_too_large_for_a_manifest_is_left_out(staging, tmp_path):
    """Two records, each within its file's limit, that no longer fit once they are printed."""
    for i in range(2):
        data = json.dumps({"event": "artifact", "path": f"artifacts/logs/{i}", "error": "\x01" * 170000})
        (staging / f"meta/{i}.jsonl").write_text('{"event":"start","collector":"x"}\n' + data + "\n")
    (staging / "base.json").write_text(json.dumps({"id": "cap", "partial": False, "text": "y" * 3000000}))
    _, manifest, names = pack(staging, tmp_path)
    assert manifest["partial"] and names[-1] == "cap/manifest.json"


@pytest.mark.parametrize("base", ['{"id":"other","rule":{"name":"forged"}}', '{"id":["cap"]}', "[]", "[" * 100000, '{"id":"cap"', ""])
def test_a_base_of_another_capture_is_not_believed(staging, tmp_path, base):
    (staging / "base.json").write_text(base)
    _, manifest, _ = pack(staging, tmp_path)
    assert manifest["id"] == "cap" and manifest["partial"] and "rule" not in manifest


def test_holes_and_a_hundred_thousand_files_do_not_take_the_sealer_down(staging, tmp_path):
    for i in range(4):
        with open(staging / f"artifacts/logs/{i}.hole", "wb") as hole:
            hole.truncate(1 << 40)
    many = staging / "artifacts/many"
    many.mkdir()
    for i in range(100000 if not SANITIZED else 10000):
        os.mknod(many / f"{i}")
    _, manifest, _ = pack(staging, tmp_path)
    told = {a["path"]: a.get("error", "") for a in manifest["artifacts"]}
    assert told["artifacts/logs/0.hole"] == "the bundle is full"
    assert manifest["files_left_off"] > 5000


@pytest.mark.parametrize("name", ["base.json", "meta/001-x.jsonl"])
def test_a_bomb_of_small_values_does_not_reach_the_manifest(staging, tmp_path, name):
    """What the brain parses has fewer values than JSON_VALUES_MAX, whoever wrote it."""
    bomb = "[" + "1," * 480000 + "1]"
    (staging / name).write_text('{"event":"start"}\n{"event":"artifact","path":"artifacts/logs/app.log","argv":%s}\n' % bomb
                                if "meta" in name else '{"id":"cap","x":%s}' % bomb)
    _, manifest, _ = pack(staging, tmp_path)
    assert manifest["partial"] and sum(json.dumps(manifest).count(c) for c in ",[{") < 1000
