#!/usr/bin/env python3
"""Fail when a source file includes a folder it may not use.

usage: tools/check_arrows.py [src]

MAY_USE is the law; the picture in docs/ARCHITECTURE.md is drawn from it. "tribus/bus.h" counts
as the folder bus, "tribus/quant_risk.h" as quant. "tribus/status.h" is free for all.
"""
import pathlib
import re
import sys

FREE = {"status"}
ALIAS = {"feed": "feeds", "session": "fabric", "slab": "device", "tls": "base", "operation": "pipeline", "messages": "wire"}
MAY_USE = {
    "base": "",
    "quant": "",
    "wire": "base",
    "fabric": "base",
    "device": "base fabric quant",
    "bus": "base wire fabric",
    "neural": "base device",
    "pipeline": "base wire fabric bus device neural quant",
    "feeds": "base wire bus",
    "engines": "base wire bus pipeline quant",
    "monitor": "base wire fabric",
    "agent": "base wire fabric bus monitor",
    "cli": "base wire fabric bus device neural pipeline quant feeds engines monitor agent",
}
INCLUDE = re.compile(r'\s*#\s*include\s+"([^"]+)"')
SUFFIXES = {".c", ".h", ".cu", ".cuh", ".def"}


def folder_of(included, here):
    parts = included.split("/")
    if len(parts) == 1:
        return here
    name = pathlib.PurePath(parts[1]).stem if parts[0] == "tribus" else parts[0]
    name = name.split("_")[0] if parts[0] == "tribus" else name
    return ALIAS.get(name, name)


def main(root):
    bad = 0
    for path in sorted(p for p in pathlib.Path(root).rglob("*") if p.suffix in SUFFIXES):
        relative = path.relative_to(root).parts
        if len(relative) != 2:
            print(f"{path}: sources are two levels deep, src/<folder>/<file>")
            bad += 1
            continue
        here = relative[0]
        if here not in MAY_USE:
            print(f"{path}: {here} is not a folder of the layers table")
            bad += 1
            continue
        allowed = set(MAY_USE[here].split()) | {here} | FREE
        for number, text in enumerate(path.read_text().splitlines(), 1):
            hit = INCLUDE.match(text)
            if hit and folder_of(hit.group(1), here) not in allowed:
                print(f"{path}:{number}: {here} must not include {hit.group(1)}")
                bad += 1
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "src"))
