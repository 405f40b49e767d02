"""Goal: docs/your-first-collector.md is true: its files, put where it says, compile without a warning and pass."""
import re
import shutil
import subprocess

import daemon as lib
import pytest

FILE = re.compile(r"^```\w+ file=(\S+)( append)?\n(.*?)^```", re.M | re.S)


def test_the_page_builds_and_passes(tmp_path):
    if not shutil.which("pkg-config"):
        pytest.skip("needs pkg-config")
    for room in ("base", "collectors"):
        shutil.copytree(lib.SOURCE / room, tmp_path / room)
    shutil.copytree(lib.SOURCE / "tests/lib", tmp_path / "tests/lib")
    (tmp_path / "tests/unit").mkdir()
    files = FILE.findall((lib.SOURCE / "docs/your-first-collector.md").read_text())
    assert len(files) == 3
    for name, append, text in files:
        with open(tmp_path / name, "a" if append else "w") as f:
            f.write(text)
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", "libcjson", "yaml-0.1", "cmocka"], check=True,
                           capture_output=True, text=True).stdout.split()
    sources = [*tmp_path.glob("base/*.c"), *tmp_path.glob("collectors/*.c"),
               tmp_path / "tests/unit/test_collector_entropy.c"]
    subprocess.run(["cc", "-std=gnu17", "-D_GNU_SOURCE", '-DINCIDENTD_VERSION="0"', "-Wall", "-Wextra", "-Wconversion",
                    "-Werror", "-I", tmp_path, *sources, *flags, "-lm", "-o", tmp_path / "t"], check=True)
    subprocess.run([tmp_path / "t"], check=True)
