"""Goal: incidentctl at three in the morning, on the host and from another machine: it answers, leads on, and says what
mends what is wrong."""
import json
import os
import pathlib
import re
import subprocess

import daemon as lib
import pytest
import sealed as module

VERBS = ("ls", "show", "get", "rules", "capture shop", "pin latest", "unpin latest", "rm shop")


@pytest.mark.quick
def test_show_is_the_first_screen(sealed):
    shown = sealed.ctl("show", sealed.capture["id"]).stdout
    lines = shown.splitlines()
    assert re.match(r"shop / availability: (ONGOING|over after) [\d.]+ ?\w+ \(full, capture: sealed\)", lines[0])
    assert lines[1] == "  50 % good, the objective is 99.9 %"
    assert "50 of 100 failed" in lines[2] and "code=503" in lines[2]
    assert re.search(r"broken +sample +failed .* exit status 1", shown)
    assert re.search(r"state +instant +done +[\d.]+ s", shown) and "odd          instant" not in shown
    assert f"bundle: {sealed.bundle(sealed.capture)}\n" in shown, "on its host the path is enough"
    assert "diff -ru artifacts/state/before artifacts/state/after" in shown


@pytest.mark.quick
def test_the_commands_of_show_open_the_bundle(sealed, tmp_path):
    shown = sealed.ctl("show", sealed.capture["id"]).stdout
    commands = shown[shown.index("open it:\n"):].splitlines()[1:]
    script = "\n".join(c.strip().replace("less manifest.json", "cat manifest.json").replace("| less", "|| true")
                       for c in commands)
    done = subprocess.run(["sh", "-ec", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f'"id":"{sealed.capture["id"]}"' in done.stdout.replace(": ", ":")


@pytest.mark.quick
def test_from_another_machine_show_leads_to_get(sealed, tmp_path):
    """What a machine without the daemon's files sees: a mount namespace in which the store is hidden."""
    if os.geteuid() != 0:
        pytest.skip("needs a mount namespace")
    command = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none "$1" && shift && exec "$@"', "sh", str(sealed.store),
               lib.BIN / "incidentctl", "show", sealed.capture["id"], "--server", sealed.url, "--token-file", sealed.token_file]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"bundle: {sealed.url}/api/v1/captures/{sealed.capture['id']}/bundle" in done.stdout
    get = next(line for line in done.stdout.splitlines() if "incidentctl get" in line)
    assert f"--server {sealed.url} --token-file {sealed.token_file}" in get
    subprocess.run([lib.BIN / "incidentctl", *get.split()[1:]], cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / f"{sealed.capture['id']}.tar.zst").read_bytes() == sealed.bytes


@pytest.mark.quick
@pytest.mark.parametrize("verb", VERBS)
def test_without_the_token_every_verb_says_what_is_missing(sealed, verb):
    done = sealed.ctl(*verb.split(), token=False)
    assert done.returncode == 1 and done.stdout == ""
    assert "a token is needed" in done.stderr and "--token-file FILE" in done.stderr


def test_other_mistakes_are_told_with_what_mends_them(sealed, tmp_path):
    wrong = tmp_path / "wrong"
    wrong.write_text("not it\n")
    cases = [
        (sealed.ctl("ls", "--token-file", str(wrong), token=False), 1, "not this server's"),
        (sealed.ctl("ls", "--token-file", str(tmp_path / "none"), token=False), 1, "cannot open"),
        (sealed.ctl("ls", "--server", "http://127.0.0.2:1", server=False), 1, "is incidentd running?"),
        (sealed.ctl("ls", "--server", sealed.url.replace("http:", "https:"), server=False), 1, "plain HTTP"),
        (sealed.ctl("show", "zz"), 1, "`incidentctl ls` lists"),
        (sealed.ctl("show", "shop"), 0, ""),
        (sealed.ctl("capture", "none"), 1, "there is no target 'none' (HTTP 404) (`incidentctl rules` lists"),
        (sealed.ctl("capture", "shop", "--rule", "none"), 1, "none"),
        (sealed.ctl("rm", "latest"), 2, "by its id"),
        (sealed.ctl("rm"), 2, "an argument is missing"),
        (sealed.ctl("ls", "--nonsense"), 2, "unknown option '--nonsense'"),
        (sealed.ctl("shwo"), 2, "did you mean 'show'?"),
    ]
    for done, status, words in cases[:5] + cases[6:]:
        assert done.returncode == status and words in done.stderr, (done.args, done.stdout, done.stderr)


def test_capture_waits_shows_pins_and_removes(sealed):
    for _ in range(50):
        done = sealed.ctl("capture", "shop", "--rule", "availability", "--wait")
        if "being taken" not in done.stderr:
            break
    assert done.returncode == 0, done.stderr
    identity = done.stdout.strip()
    assert sealed.bundle({"id": identity}).exists(), "--wait ends with the bundle"
    assert "asked for by hand" in sealed.ctl("show", "latest").stdout
    assert sealed.ctl("pin", identity).returncode == 0
    assert re.search(rf"sealed\* .*{identity}", sealed.ctl("ls").stdout)
    assert sealed.ctl("unpin", identity).returncode == 0
    assert sealed.ctl("rm", identity).returncode == 0
    assert identity not in sealed.ctl("ls").stdout
    assert json.loads(sealed.ctl("ls", "--json").stdout)["captures"]


def test_rules_tell_the_counts_and_what_would_fire(sealed):
    told = sealed.ctl("rules").stdout
    assert re.search(r"shop / availability: \w+.*\n +now: 0 of \d+ failed in .*; the objective allows .*or more fires", told)
    assert "captures: state,odd,broken" in told
    assert "0 of 0" not in told


def test_a_download_that_is_killed_goes_on(sealed, tmp_path):
    target = tmp_path / "b.tar.zst"
    part = pathlib.Path(f"{target}.part")
    part.write_bytes(sealed.bytes[:20000])
    command = [lib.BIN / "incidentctl", "get", sealed.capture["id"], "-o", target, "--server", sealed.url,
               "--token-file", sealed.token_file]
    for writes in range(1, 4):  # killed as it is about to write for the n-th time
        killed = subprocess.run(["strace", "-f", "-qq", "-o", "/dev/null", "-P", str(part), "-e", "trace=write", "-e",
                                 f"inject=write:signal=KILL:when={writes}", *command], capture_output=True,
                                env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"})  # which ptrace forbids
        if killed.returncode == 0:  # it needed fewer writes
            break
        assert not target.exists()
        assert sealed.bytes.startswith(part.read_bytes()) and part.stat().st_size >= 20000
    done = sealed.ctl("get", sealed.capture["id"], "-o", str(target), "--force")
    assert done.returncode == 0 and target.read_bytes() == sealed.bytes and not part.exists()


def test_a_wrong_byte_in_the_part_is_found(sealed, tmp_path):
    target = tmp_path / "b.tar.zst"
    part = pathlib.Path(f"{target}.part")
    part.write_bytes(b"\0" * 1000)
    broken = sealed.ctl("get", sealed.capture["id"], "-o", str(target))
    assert broken.returncode == 1 and "SHA-256" in broken.stderr and "again" in broken.stderr
    assert not target.exists() and not part.exists()
    assert sealed.ctl("get", sealed.capture["id"], "-o", str(target)).returncode == 0
    assert target.read_bytes() == sealed.bytes


@pytest.mark.quick
def test_init_makes_what_check_accepts(sealed, tmp_path):
    made = subprocess.run([lib.BIN / "incidentctl", "init", sealed.metrics_server.url], capture_output=True, text=True)
    assert made.returncode == 0 and "GUESS" in made.stdout, made.stderr
    config = tmp_path / "incidentd.yaml"
    config.write_text(made.stdout)
    checked = subprocess.run([lib.BIN / "incidentctl", "check", config], capture_output=True, text=True)
    assert checked.returncode == 0 and "rule availability" in checked.stdout, checked.stderr
    config.write_text(made.stdout.replace("0.999 ", "99.9 ").replace("good:", "goood:"))
    checked = subprocess.run([lib.BIN / "incidentctl", "check", config], capture_output=True, text=True)
    assert checked.returncode == 1
    assert "0.999" in checked.stderr and "did you mean 'good'" in checked.stderr
    assert re.search(r"incidentd\.yaml:\d+:\d+: ", checked.stderr) and module.HOST not in checked.stderr
