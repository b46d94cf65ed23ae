#!/usr/bin/env python3
"""Every command and every setting has its place in the manual."""
import pathlib
import re
import subprocess
import tempfile

from platform_fixture import BUILD, SOURCE, TRIBUS, check

with tempfile.TemporaryDirectory() as folder:
    subprocess.run([SOURCE / "tools" / "manual.py", BUILD, folder], check=True)
    pages = {path.name: path.read_text() for path in pathlib.Path(folder).iterdir()}

commands = re.findall(r"^  (\w+) ", subprocess.run([TRIBUS, "--help"], capture_output=True,
                                                   text=True, check=True).stdout, re.M)
check(len(commands) > 10, f"commands: {commands}")
front = (SOURCE / "docs" / "man" / "tribus.1").read_text()
for command in commands:
    check(f"\n.B {command}\n" in front, f"tribus.1 does not have {command}")
    page = pages.get(f"tribus-{command}.1", "")
    for part in (".SH NAME", ".SH SYNOPSIS", ".SH DESCRIPTION"):
        check(part in page, f"tribus-{command}.1 has no {part}")
    check(f".B tribus {command}" in page, f"tribus-{command}.1 has no usage")

settings = (SOURCE / "src" / "base" / "platform.def").read_text()
keys = re.findall(r"^(?:INT|REAL|FLAG|TEXT)\((\w+), (\w+),", settings, re.M)
check(len(keys) > 40, f"keys: {keys}")
sections = pages["tribus.yaml.5"].split("\n.SH ")
for section, key in keys:
    own = [text for text in sections if text.startswith(f"{section}\n")]
    check(len(own) == 1, f"tribus.yaml.5 has section {section} {len(own)} times")
    check(re.search(rf"^\.BR {key} ", own[0], re.M), f"tribus.yaml.5: no {section}.{key}")
