#!/usr/bin/env python3
"""Names say where they live: each collectors/*.o exports exactly collector_<name>, and every other external symbol
begins with its file's stem or with the stem's noun (schema_load.c may export schema_*)."""
import pathlib
import subprocess
import sys

build = pathlib.Path(sys.argv[1])
bad = []
SHARED = {"xalloc": ("xcalloc", "xrealloc", "xstrdup", "xasprintf")}
for room in ("base", "rules", "collectors", "report", "watchdog"):
    for obj in sorted((build / "CMakeFiles" / f"{room}.dir" / room).glob("*.c.o")):
        stem = obj.name[: -len(".c.o")]
        out = subprocess.run(["nm", "-g", "--defined-only", obj], check=True, capture_output=True, text=True)
        names = [line.split()[-1] for line in out.stdout.splitlines()
                 if line and not line.split()[-1].startswith(("__", "_ZTS", "__asan"))]
        if room == "collectors" and stem != "collector":
            if names != [f"collector_{stem}"]:
                bad.append(f"collectors/{stem}.c exports {names}, not exactly collector_{stem}")
            continue
        noun = stem.split("_")[0]
        for name in names:
            if not (name.startswith((stem + "_", noun + "_")) or name in (stem, noun) or name in SHARED.get(stem, ())):
                bad.append(f"{room}/{stem}.c exports '{name}', which does not begin with '{noun}_'")
print("\n".join(bad) or "symbols: every name begins with its file's noun")
sys.exit(1 if bad else 0)
