"""A platform for tests of the buses: tribusd with three Redis servers on free ports, no
engines and no compute hosts, everything in a temporary folder (with a space in its name).
"""
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

from ports import free_port

BUILD = pathlib.Path(os.environ.get("TRIBUS_BUILD", "build/release"))
TRIBUS = str(BUILD / "tribus")
TRIBUSD = str(BUILD / "tribusd")
BUSES = ("marketdata", "engine_logic", "neural_gpu")
PATIENCE = 120  # no pass ever takes so long


def skip(why):
    print("skip:", why)
    sys.exit(77)


def need(*programs):
    for program in programs:
        if not shutil.which(program):
            skip(f"no {program}")
    if not os.path.exists(TRIBUS) or not os.path.exists(TRIBUSD):
        skip(f"no {TRIBUS}: build first")


def wait_for(what, condition, seconds=PATIENCE):
    """Wait until condition() is true, and return what it gave."""
    end = time.monotonic() + seconds
    while True:
        got = condition()
        if got:
            return got
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s for: {what}")
        time.sleep(0.01)


def envelope(bus, kind, data, **more):
    return json.dumps(dict({
        "type": kind, "data": data, "priority": "normal", "engine_type": "python",
        "engine_instance": "python-1", "bus_type": bus + "_bus",
        "timestamp_ns": time.time_ns(), "hardware_accelerated": False}, **more))


class Platform:
    def __init__(self, ports=None, settings=(), folder=None, spawn=True, wait=True):
        self.wait = wait  # for the servers
        # In memory where possible: servers wait for the disk at every durable message.
        self.folder = folder or tempfile.mkdtemp(
            prefix="tribus test ", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
        self.own_folder = folder is None
        self.socket = os.path.join(self.folder, "agent.sock")
        self.ports = ports or {bus: free_port() for bus in BUSES}
        words = [f"agent.socket={self.socket}", "agent.metrics_port=0",
                 "agent.memory_mib=1024"]
        for bus in BUSES:
            words += [f"{bus}_bus.port={self.ports[bus]}",
                      f"{bus}_bus.spawn={'true' if spawn else 'false'}"]
        words.append("redis.program=" + os.environ.get("TRIBUS_TEST_SERVER", "redis-server"))
        for child in ("neural_host", "gpu_host", "marketdata_engine", "ml_engine",
                      "risk_engine"):
            words.append(f"{child}.enabled=false")
        self.words = []
        for word in words + list(settings):
            self.words += ["--set", word]
        self.env = dict(os.environ, TRIBUS_SOCKET=self.socket)
        self.log_path = os.path.join(self.folder, "tribusd.log")
        self.agent = None
        self.children = []
        self.command = []  # in front of tribusd

    def start(self):
        with open(self.log_path, "ab") as log:
            self.agent = subprocess.Popen(self.command + [TRIBUSD] + self.words, stdout=log, stderr=log,
                                          env=self.env, cwd=self.folder)
        wait_for("the agent's socket", lambda: os.path.exists(self.socket) or self.died())
        for bus in BUSES if self.wait else ():
            wait_for(f"redis of {bus}", lambda: self.answers(self.ports[bus]) or self.died())
        return self

    def died(self):
        if self.agent.poll() is not None:
            raise AssertionError(f"tribusd ended with {self.agent.returncode}:\n{self.log()}")
        return False

    @staticmethod
    def answers(port):
        return Platform.cli(port, "ping").strip() == "PONG"

    @staticmethod
    def cli(port, *words, check=False):
        """Run one command with redis-cli."""
        done = subprocess.run(["redis-cli", "-p", str(port)] + list(words),
                              capture_output=True, text=True, check=check)
        return done.stdout

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def run(self, *words, code=0, text=None, timeout=PATIENCE):
        """Run a command of tribus to its end; its stdout."""
        done = subprocess.run([TRIBUS] + list(words), env=self.env, input=text,
                              capture_output=True, text=True, timeout=timeout)
        assert done.returncode == code, (words, done.returncode, done.stdout, done.stderr)
        self.errors = done.stderr
        return done.stdout

    def popen(self, *words, **more):
        child = subprocess.Popen(list(words), env=self.env, text=True,
                                 stdout=subprocess.PIPE, **more)
        self.children.append(child)
        return child

    def listeners(self, bus, kind):
        out = self.cli(self.ports[bus], "pubsub", "numsub", f"nautilus-{bus}_bus-{kind}")
        lines = out.split()
        return int(lines[1]) if len(lines) > 1 else 0

    def publish(self, bus, kind, data, **more):
        return self.run("publish", envelope(bus, kind, data, **more))

    def stop(self):
        for child in self.children:
            if child.poll() is None:
                child.kill()
            child.wait()
            if child.stdout:
                child.stdout.close()
        if self.agent and self.agent.poll() is None:
            self.agent.send_signal(signal.SIGTERM)
            self.agent.wait(PATIENCE)
        if self.own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *_):
        self.stop()
