#!/usr/bin/env python3
"""Runs the commands of docs/wire-examples.md and compares what they print with it."""
import json
import os
import pathlib
import re
import shlex
import subprocess

import bus_platform

bus_platform.need("redis-server", "redis-cli", "bash", "timeout")
SOURCE = pathlib.Path(os.environ.get("TRIBUS_SOURCE", "."))
MARK = "--- end of block"
DEFAULTS = {"marketdata": "6380", "engine_logic": "6381", "neural_gpu": "6382"}


def blocks(text):
    """(commands, expected or None) in order."""
    found = re.findall(r"^```(sh|json)\n(.*?)^```", text, re.M | re.S)
    pairs = []
    for kind, body in found:
        if kind == "sh":
            pairs.append([body, None])
        else:
            assert pairs and pairs[-1][1] is None, body
            pairs[-1][1] = json.loads(body)
    return pairs


def compare(got, want, where):
    for key, value in want.items():
        assert key in got, (where, key, got)
        assert value == "..." or got[key] == value, (where, key, got[key], value, got)


def main():
    pairs = blocks((SOURCE / "docs" / "wire-examples.md").read_text())
    assert len(pairs) > 10
    hosts = ["neural_host.enabled=true", "gpu_host.enabled=true"]
    with bus_platform.Platform(settings=hosts) as p:
        build = shlex.quote(os.path.abspath(bus_platform.BUILD))
        script = f"set -u\nPATH={build}:$PATH\n"
        for commands, _ in pairs:
            script += f"{commands}\necho '{MARK}'\n"
        for bus, port in DEFAULTS.items():
            script = script.replace(f"-p {port}", f"-p {p.ports[bus]}")
        done = subprocess.run(["bash", "-c", script], env=p.env, cwd=p.folder, capture_output=True,
                              text=True, timeout=200)
        outputs = done.stdout.split(MARK)
        assert len(outputs) == len(pairs) + 1, (done.stdout, done.stderr)
        for (commands, want), output in zip(pairs, outputs):
            if want is None:
                assert output.strip() == "", (commands, output)
                continue
            lines = [line for line in output.splitlines() if line.startswith("{")]
            assert lines, (commands, output, done.stderr, p.log())
            compare(json.loads(lines[-1]), want, commands)
            print("passed:", commands.strip().splitlines()[-1][:100])


main()
