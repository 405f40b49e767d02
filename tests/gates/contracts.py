#!/usr/bin/env python3
"""Every external function of a header stands under a comment that says its contract; prototypes may share one while
no blank line parts them."""
import pathlib
import re
import sys

root = pathlib.Path(__file__).resolve().parents[2]
bad = []
count = 0
for room in ("base", "rules", "collectors", "report", "watchdog"):
    for path in sorted((root / room).glob("*.h")):
        commented = False
        depth = 0
        open_comment = False
        pending = False
        for number, line in enumerate(path.read_text().splitlines(), 1):
            text = line.strip()
            if open_comment:
                open_comment = "*/" not in text
                commented = True
                continue
            if text.startswith("/*"):
                open_comment = "*/" not in text
                commented = True
                continue
            if not text:
                commented = pending = False
                continue
            at_top = depth == 0
            depth += line.count("{") - line.count("}")
            prototype = re.match(r"^(?!typedef|static|#|struct \w+ \{|enum|union|extern|return)[A-Za-z_][\w\s\*]*\b(\w+)\(", line)
            if at_top and prototype and not pending and "{" not in text:
                count += 1
                if not commented and "/*" not in text:
                    bad.append(f"{path.relative_to(root)}:{number}: {prototype.group(1)} has no contract")
            pending = at_top and bool(prototype) and not text.endswith((";", "{"))
            if pending is False and text.startswith("#"):
                commented = False
print("\n".join(bad) or f"contracts: {count} prototypes, all documented")
sys.exit(1 if bad else 0)
