#!/usr/bin/env python3
"""Write the manual pages that follow from what the programs say of themselves.

usage: tools/manual.py BUILD FOLDER

BUILD has `tribus` and `tribusd`; FOLDER gets tribus-COMMAND.1 for each command, tribusd.8 and
tribus.yaml.5. `make install` does this; docs/man/tribus.1 is written by hand.
"""
import os
import pathlib
import re
import subprocess
import sys

RELEASE = re.search(r"VERSION (\d+\.\d+)",
                    (pathlib.Path(__file__).parents[1] / "CMakeLists.txt").read_text()).group(1)


def said_by(*command):
    """What a program prints, with no settings of the caller's in it."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TRIBUS_")}
    done = subprocess.run(command, capture_output=True, text=True, check=True,
                          env=environment)
    return done.stdout


def escaped(text):
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + text if text[:1] in (".", "'") else text


def heading(name, section, title):
    return [f'.TH {name.upper()} {section} "" "Tribus {RELEASE}" "{title}"']


def parts_of(text):
    """The paragraphs of a help text by kind: usage, body, options, examples, commands."""
    parts = {"usage": "", "body": [], "options": [], "examples": [], "commands": []}
    kind = "body"
    for line in text.splitlines():
        if line.startswith("usage: "):
            parts["usage"] = line[len("usage: "):]
        elif line in ("options:", "examples:", "commands:"):
            kind = line[:-1]
        elif kind == "body" or line.startswith("  "):
            parts[kind].append(line)
    while parts["body"] and not parts["body"][-1]:
        parts["body"].pop()
    return parts


def rows(lines):
    """Lines of two columns, the second two spaces or more behind the first."""
    for line in lines:
        yield re.split(r" {2,}", line.strip(), maxsplit=1)


def described(parts):
    page = []
    for line in parts["body"]:
        page.append(escaped(line) if line else ".PP")
    return [line for at, line in enumerate(page) if line != ".PP" or at > 0]


def listed(lines):
    page = []
    for row in rows(lines):
        page += [".TP", f".B {escaped(row[0])}", escaped(row[1]) if len(row) > 1 else ""]
    return page


def verbatim(lines):
    return [".nf"] + [escaped(line.strip()) for line in lines] + [".fi"]


def program_page(name, section, title, text, summary, see, inner):
    """inner: the help texts of its own commands by name."""
    parts = parts_of(text)
    page = heading(name, section, title)
    page += [".SH NAME", f"{escaped(name)} \\- {escaped(summary)}", ".SH SYNOPSIS",
             f".B {escaped(parts['usage'])}", ".SH DESCRIPTION"] + described(parts)
    if parts["options"]:
        page += [".SH OPTIONS"] + listed(parts["options"])
    examples = parts["examples"]
    if inner:
        page += [".SH COMMANDS"]
    for command, help_text in inner.items():
        own = parts_of(help_text)
        page += [f".SS {escaped(command)}", f".B {escaped(own['usage'])}", ".PP"]
        page += described(own) + listed(own["options"])
        examples = examples + own["examples"]
    if examples:
        page += [".SH EXAMPLES"] + verbatim(examples)
    page += [".SH SEE ALSO", ",\n".join(f".BR {escaped(n)} ({s})" for n, s in see)]
    return "\n".join(page) + "\n"


def settings_page(text):
    page = heading("tribus.yaml", 5, "File Formats")
    page += [".SH NAME", "tribus.yaml \\- settings of a Tribus platform", ".SH DESCRIPTION",
             "One YAML file of sections and keys, read from",
             ".I /etc/tribus.yaml", "or the file given with",
             ".BR \\-\\-config .", "A key that is unknown or of the wrong type is an error",
             "that names file, line and key. Every key has a default, shown here. The",
             "environment goes before the file:", ".BR TRIBUS_SECTION_KEY ,",
             "as in TRIBUS_AGENT_MEMORY_MIB; and", ".B \\-\\-set section.key=value",
             "goes before both."]
    for line in text.splitlines():
        key = re.match(r"  (\w+): (.*?) +# default; (.*)", line)
        if key:
            page += [".TP", f".BR {escaped(key[1])} \" = {escaped(key[2]).replace(chr(34), chr(34) * 2)}\"",
                     escaped(key[3])]
        elif re.match(r"\w+:$", line):
            page.append(f".SH {line[:-1]}")
        elif line.strip():
            sys.exit(f"manual: --print-config: not a setting: {line}")
    page += [".SH SEE ALSO", ".BR tribus (1),", ".BR tribusd (8)"]
    return "\n".join(page) + "\n"


def pages(build):
    """Every page by file name."""
    tribus, tribusd = str(build / "tribus"), str(build / "tribusd")
    made = {}
    see = [("tribus", 1), ("tribus.yaml", 5)]
    for command, summary in rows(parts_of(said_by(tribus, "--help"))["commands"]):
        text = said_by(tribus, command, "--help")
        inner = {inner_name: said_by(tribus, command, inner_name, "--help")
                 for inner_name, _ in rows(parts_of(text)["commands"])}
        made[f"tribus-{command}.1"] = program_page(f"tribus-{command}", 1, "User Commands",
                                                   text, summary, see, inner)
    made["tribusd.8"] = program_page("tribusd", 8, "System Administration",
                                     said_by(tribusd, "--help"), "the agent of Tribus", see, {})
    made["tribus.yaml.5"] = settings_page(said_by(tribus, "up", "--print-config"))
    return made


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    folder = pathlib.Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages(pathlib.Path(sys.argv[1])).items():
        (folder / name).write_text(text)


if __name__ == "__main__":
    main()
