#!/usr/bin/env python3
"""The documentation is run. In README.md and docs/*.md, a block opened by ```yaml that holds `targets:` at its start
of line is a whole configuration and must pass `incidentctl check`; one opened by ```sh test is run by sh with the
programs first in PATH and must exit 0. Usage: snippets.py BIN_DIR"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile

root = pathlib.Path(__file__).resolve().parents[2]
programs = pathlib.Path(sys.argv[1]).resolve()
failed = passed = 0
for path in [root / "README.md", *sorted((root / "docs").glob("*.md"))]:
    for found in re.finditer(r"^```(\w+)([^\n]*)\n(.*?)^```", path.read_text(), re.M | re.S):
        kind, attributes, body = found.groups()
        line = path.read_text()[: found.start()].count("\n") + 1
        with tempfile.TemporaryDirectory() as place:
            if kind == "yaml" and re.search(r"^targets:", body, re.M) and "fragment" not in attributes:
                config = pathlib.Path(place, "incidentd.yaml")
                config.write_text(body)
                command = [programs / "incidentctl", "check", config]
            elif kind == "sh" and "test" in attributes.split():
                command = ["sh", "-eu", "-c", body]
            else:
                continue
            environment = dict(os.environ, PATH=f"{programs}:{os.environ['PATH']}", SOURCE=str(root))
            done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, timeout=120)
        if done.returncode:
            failed += 1
            print(f"{path.relative_to(root)}:{line}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        else:
            passed += 1
print(f"snippets: {passed} passed, {failed} failed")
sys.exit(1 if failed or not passed else 0)
