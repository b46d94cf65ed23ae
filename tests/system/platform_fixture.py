"""Start the real programs on ports and a socket of their own; what the system tests share."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from ports import free_ports

BUILD = pathlib.Path(os.environ.get("TRIBUS_BUILD", "build/release"))
SOURCE = pathlib.Path(os.environ.get("TRIBUS_SOURCE", "."))
TRIBUS = str(BUILD / "tribus")
BUSES = ("marketdata_bus", "engine_logic_bus", "neural_gpu_bus")


def check(condition, text):
    """Fail the test with what was expected and where."""
    if not condition:
        frame = sys._getframe(1)
        sys.exit(f"{frame.f_code.co_filename}:{frame.f_lineno}: {text}")


def data(relative):
    """A file of the reference data, or None where it is absent."""
    root = os.environ.get("TRIBUS_DATA", str(SOURCE / ".." / "shared" / "data"))
    path = pathlib.Path(root) / relative
    return str(path) if path.exists() else None


def wait_for(condition, seconds, text):
    """Poll until condition() is true; a deadline, not a sleep, decides."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    sys.exit(f"not within {seconds} s: {text}")


class Platform:
    """Ports, socket and folder of one platform that disturbs no other."""

    def __init__(self, **settings):
        self.folder = tempfile.mkdtemp(prefix="tribus-test-")
        ports = free_ports(7)
        self.ports = dict(zip(BUSES, ports))
        self.settings = {f"{bus}.port": port for bus, port in self.ports.items()}
        self.settings["agent.metrics_port"] = ports[3]
        for engine, port in zip(("marketdata", "ml", "risk"), ports[4:]):
            self.settings[f"{engine}_engine.port"] = port
        self.settings.update({key.replace("__", "."): value for key, value in settings.items()})
        self.environment = dict(os.environ, TRIBUS_SOCKET=f"{self.folder}/agent.sock",
                                XDG_RUNTIME_DIR=self.folder)

    def set_options(self):
        return [part for key, value in self.settings.items()
                for part in ("--set", f"{key}={value}")]

    def run(self, *args, seconds=120, settings=False):
        """Run `tribus args...` to its end."""
        command = [TRIBUS, *args] + (self.set_options() if settings else [])
        return subprocess.run(command, env=self.environment, capture_output=True, text=True,
                              timeout=seconds, check=False)

    def start(self, *args, settings=False):
        command = [TRIBUS, *args] + (self.set_options() if settings else [])
        return subprocess.Popen(command, env=self.environment, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)

    def up(self):
        done = self.run("up", settings=True)
        check(done.returncode == 0, f"tribus up: {done.stderr}{self.logs()}")

    def down(self):
        return self.run("down")

    def status(self):
        done = self.run("status", "--json")
        return json.loads(done.stdout)

    def logs(self):
        texts = []
        for path in sorted(pathlib.Path(self.folder).rglob("*.log")):
            lines = path.read_text(errors="replace").splitlines()[-8:]
            texts.append(f"\n--- {path.name}\n" + "\n".join(lines))
        return "".join(texts)

    def processes(self):
        """Living processes that were started with this platform's socket."""
        found = []
        marker = f"TRIBUS_SOCKET={self.folder}/agent.sock".encode()
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                state = (entry / "stat").read_text().rsplit(")", 1)[1].split()[0]
                if marker in (entry / "environ").read_bytes().split(b"\0") and state != "Z":
                    found.append((int(entry.name), (entry / "comm").read_text().strip()))
            except OSError:
                continue
        return found

    def end(self):
        """Leave nothing behind, whatever the test did."""
        self.down()
        for pid, _ in self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()
