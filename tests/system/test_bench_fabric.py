#!/usr/bin/env python3
"""`tribus bench fabric --json` prints every row of its table, with sane fields.

How fast they are is for people to judge on a quiet machine: nothing here asserts a time. The
number of instructions of a loan does not depend on who else is running, so that is asserted.
"""
import json
import os
import shutil
import subprocess
import sys

FIELDS = {"bench", "case", "path", "size_bytes", "touched", "p50_ns", "p99_ns", "p999_ns", "rate_per_s"}
CASES = {"spin", "block", "handover", "throughput", "topic", "lanes4", "death"}


def main():
    tribus = os.path.join(os.environ.get("TRIBUS_BUILD", "build/release"), "tribus")
    if (os.cpu_count() or 1) < 2:
        print("skip: needs two cores")
        return 77
    done = subprocess.run([tribus, "bench", "fabric", "--json", "--seconds", "0.02", "--rounds", "1", "--no-redis"],
                          capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    for row in rows:
        assert FIELDS <= row.keys(), row
        assert row["bench"] == "fabric" and row["path"] in ("tribus", "floor"), row
        if row["case"] not in ("loan", "counting"):
            assert 0 < row["p50_ns"] <= row["p99_ns"] <= row["p999_ns"], row
    assert CASES <= {row["case"] for row in rows}
    if shutil.which("valgrind"):
        loan = [row for row in rows if row["case"] == "loan"]
        assert len(loan) == 1 and 0 < loan[0]["instructions"] <= 250, loan
    return 0


if __name__ == "__main__":
    sys.exit(main())
