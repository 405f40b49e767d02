"""Goal: the heap growth in report.json is, function by function, what `go tool pprof -top -diff_base` prints."""
import json
import re
import shutil
import subprocess

import pytest

from daemon import BIN, SANITIZED

LEAK = r"""
package main

import ("bytes"; "fmt"; "os"; "runtime"; "runtime/pprof"; "strings")

var pages [][]byte
var texts []*bytes.Buffer
var names []map[string]string

type cache struct{}

func (c *cache) Get(n int) { for i := 0; i < n; i++ { pages = append(pages, make([]byte, 4096)) } }
func write(n int) {
	for i := 0; i < n; i++ { b := &bytes.Buffer{}; b.WriteString(strings.Repeat("x", 3000)); texts = append(texts, b) }
}
func label(n int) {
	for i := 0; i < n; i++ {
		m := map[string]string{}
		for j := 0; j < 20; j++ { m[fmt.Sprint(i, j)] = fmt.Sprint(j) }
		names = append(names, m)
	}
}
func dump(path string) {
	runtime.GC(); runtime.GC()
	f, _ := os.Create(path); pprof.WriteHeapProfile(f); f.Close()
}
func main() {
	runtime.MemProfileRate = 4096
	c := &cache{}
	c.Get(2000); write(1000); label(500); dump(os.Args[1])
	c.Get(8000); write(3000); names = nil; label(100); dump(os.Args[2])
}
"""


def explain(staging, tmp_path):
    """Runs the sealer as its parent does: staging on 3, output on 4, status on 5."""
    report, status = tmp_path / "report.json", tmp_path / "status"
    limit = "" if SANITIZED else "ulimit -v 524288; "
    subprocess.run(["bash", "-c", f'{limit}exec "$0" explain cap 3<"$1" 4>"$2" 5>"$3"',
                    str(BIN / "incidentd-sealer"), str(staging), str(report), str(status)], check=True)
    assert json.loads(status.read_text()) == {"ok": True}
    return json.loads(report.read_text())


def top(before, after, index, unit):
    """Flat values by function as pprof prints them."""
    printed = subprocess.run(["go", "tool", "pprof", "-top", "-nodecount=0", "-nodefraction=0", "-edgefraction=0",
                              f"-sample_index={index}", f"-unit={unit}", f"-diff_base={before}", str(after)],
                             check=True, capture_output=True, text=True).stdout
    flat = {}
    for line in printed.splitlines():
        found = re.match(r"\s*(-?[0-9.]+)B?\s+\S+%?\s+\S+%?\s+\S+\s+\S+%?\s+(.*)$", line)
        if found:
            name = re.sub(r" \((partial-)?inline\)$", "", found[2])
            flat[name] = flat.get(name, 0) + int(float(found[1]))
    return {name: value for name, value in flat.items() if value != 0}


@pytest.mark.skipif(shutil.which("go") is None, reason="no go tool to compare with")
def test_heap_growth_equals_go_tool_pprof(tmp_path):
    staging = tmp_path / "staging"
    profiles = staging / "artifacts/pprof"
    profiles.mkdir(parents=True)
    before, after = profiles / "heap.before.pb.gz", profiles / "heap.after.pb.gz"
    (tmp_path / "leak.go").write_text(LEAK)
    subprocess.run(["go", "run", "leak.go", str(before), str(after)], cwd=tmp_path, check=True,
                   env=dict(__import__("os").environ, GO111MODULE="off", GOFLAGS=""))
    report = explain(staging, tmp_path)
    rows = report["heap_growth"]["rows"]
    ours = {r["function"]: r["growth_bytes"] for r in rows if r["growth_bytes"]}
    assert ours == top(before, after, "inuse_space", "B")
    objects = {r["function"]: r["growth_objects"] for r in rows if r["growth_objects"]}
    assert objects == top(before, after, "inuse_objects", "count")
    assert "main.(*cache).Get" in report["headline"]
    assert min(ours.values()) < 0, "what shrank is told as well"
    used = report["heap_growth"]
    assert sum(r["to_bytes"] for r in rows) == used["to_bytes"]
    assert used["to_bytes"] - used["from_bytes"] == sum(ours.values())


def test_garbage_costs_the_table_not_the_report(tmp_path):
    profiles = tmp_path / "staging/artifacts/pprof"
    profiles.mkdir(parents=True)
    (profiles / "heap.after.pb.gz").write_bytes(b"\x1f\x8b garbage")
    report = explain(tmp_path / "staging", tmp_path)
    assert report["heap_growth"] is None and report["headline"] == "" and report["problems"]
