"""What processes cost: CPU seconds with the children they have reaped, PSS, and the libraries they map."""
import os
import pathlib
import re

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    """Of all threads, to the nanosecond, and of reaped children, in ticks of 10 ms."""
    total = 0.0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0]) / 1e9
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return total + (int(fields[13]) + int(fields[14])) / TICKS


def switches(pid):
    """Context switches of all threads, voluntary and not."""
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        total += sum(int(n) for n in re.findall(r"ctxt_switches:\s+(\d+)", (task / "status").read_text()))
    return total


def memory_kib(pid, field="Pss"):
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(rf"^{field}:\s+(\d+)", text, re.M).group(1))


def libraries(pid):
    """Names of the mapped shared libraries without their versions, sorted."""
    found = set()
    for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
        name = line.rsplit("/", 1)[-1]
        if ".so" in name and "/" in line:
            found.add(re.sub(r"(-[0-9.]+)?\.so.*", "", name))
    return sorted(found)
