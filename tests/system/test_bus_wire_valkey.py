#!/usr/bin/env python3
"""The wire with Valkey 8 in place of Redis: the same tests."""
import os
import pathlib
import shutil
import subprocess
import sys

import bus_platform

SOURCE = pathlib.Path(os.environ.get("TRIBUS_SOURCE", "."))
UNPACKED = SOURCE / "build" / "deps" / "valkey" / "usr" / "bin" / "valkey-server"

bus_platform.need("redis-cli")
server = shutil.which("valkey-server") or (os.path.abspath(UNPACKED) if UNPACKED.exists() else None)
if not server:
    bus_platform.skip("no valkey-server: `make deps` fetches it where Debian's backports are")
print(subprocess.run([server, "--version"], capture_output=True, text=True, check=True).stdout)
for name in ("test_bus_wire.py", "test_bus_wire_durable.py"):
    done = subprocess.run([sys.executable, str(pathlib.Path(__file__).parent / name)],
                          env=dict(os.environ, TRIBUS_TEST_SERVER=server), check=False)
    assert done.returncode == 0, (name, done.returncode)
