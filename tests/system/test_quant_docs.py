#!/usr/bin/python3
"""Every public function of include/tribus/quant*.h is in docs/quant.md, by its name without tribus_quant_."""
import glob
import os
import re
import sys

SOURCE = os.environ.get("TRIBUS_SOURCE", os.path.join(os.path.dirname(__file__), "..", ".."))


def main():
    described = set(re.findall(r"`([a-z0-9_]+)`", open(os.path.join(SOURCE, "docs/quant.md"), encoding="utf-8").read()))
    functions = set()
    for header in glob.glob(os.path.join(SOURCE, "include/tribus/quant*.h")):
        code = re.sub(r"/\*.*?\*/", "", open(header, encoding="utf-8").read(), flags=re.S)
        functions |= set(re.findall(r"\btribus_quant_([a-z0-9_]+)\s*\(", code))
    missing = sorted(functions - described)
    if len(functions) < 100 or missing:
        sys.exit(f"docs/quant.md: {len(functions)} functions, without {', '.join(missing)}")
    print(f"docs/quant.md describes all {len(functions)} functions")


if __name__ == "__main__":
    main()
