#!/usr/bin/env python3
"""Each room includes only what stands below it: base < rules, collectors, report < watchdog."""
import pathlib
import re
import sys

ALLOWED = {
    "base": {"base"},
    "rules": {"base", "rules"},
    "collectors": {"base", "collectors"},
    "report": {"base", "report"},
    "watchdog": {"base", "rules", "collectors", "report", "watchdog"},
}
root = pathlib.Path(__file__).resolve().parents[2]
bad = []
for room, allowed in ALLOWED.items():
    for path in sorted((root / room).glob("*.[ch]")):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            found = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
            if not found:
                continue
            target = found.group(1).split("/")[0]
            if "/" not in found.group(1):
                bad.append(f"{path.relative_to(root)}:{number}: include '{found.group(1)}' by its room")
            elif target not in allowed:
                bad.append(f"{path.relative_to(root)}:{number}: {room}/ may not include {target}/")
print("\n".join(bad) or "floors: every include points down")
sys.exit(1 if bad else 0)
