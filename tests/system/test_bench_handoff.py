#!/usr/bin/env python3
"""`tribus bench handoff --json` prints every row of its table, with sane fields.

How fast they are is for people to judge on a quiet machine: nothing here asserts a time.
"""
import json
import os
import shutil
import subprocess
import sys

FIELDS = {"bench", "path", "size_bytes", "touched", "p50_ns", "p99_ns", "p999_ns", "rate_per_s"}
SIZES = [64, 4096, 256 << 10, 4 << 20]


def main():
    tribus = os.path.join(os.environ.get("TRIBUS_BUILD", "build/release"), "tribus")
    if (os.cpu_count() or 1) < 2 or shutil.which("redis-server") is None:
        print("skip: needs two cores and redis-server")
        return 77
    done = subprocess.run([tribus, "bench", "handoff", "--json", "--seconds", "0.01",
                           "--rounds", "1"],
                          capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    seen = {(r["path"], r["size_bytes"], r["touched"]) for r in rows}
    for row in rows:
        assert FIELDS <= row.keys(), row
        assert row["bench"] == "handoff"
        assert 0 < row["p50_ns"] <= row["p99_ns"] <= row["p999_ns"], row
        assert row["rate_per_s"] > 0, row
    for size in SIZES:
        for want in [("ring", size, True), ("ring", size, False), ("redis-binary", size, True)]:
            assert want in seen, want
    assert ("floor", 64, True) in seen and ("redis-json", 8000, True) in seen

    bad = subprocess.run([tribus, "bench", "handoff", "--seconds", "0.01", "--redis-server",
                          "/no/such/server"], capture_output=True, text=True, timeout=600)
    assert bad.returncode == 1 and "--redis-server" in bad.stderr, bad
    assert len(bad.stderr.strip().splitlines()) == 1, bad.stderr
    return 0


if __name__ == "__main__":
    sys.exit(main())
