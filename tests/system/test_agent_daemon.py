"""tribusd as a process: real Redis servers, signals at any moment, bad settings.

Nothing may be left behind: no process, no socket, no lock.
"""
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

from ports import free_ports

BUILD = pathlib.Path(os.environ.get("TRIBUS_BUILD", "build/release"))
DAEMON = BUILD / "tribusd"
SKIP = 77


class Platform:
    """A tribusd on ports and a socket of its own, without hosts and engines."""

    def __init__(self, folder, *more, program="redis-server"):
        self.folder = pathlib.Path(folder)
        self.socket = self.folder / "agent.sock"
        self.ports = free_ports(4)
        settings = [f"agent.socket={self.socket}", f"agent.metrics_port={self.ports[3]}",
                    f"marketdata_bus.port={self.ports[0]}",
                    f"engine_logic_bus.port={self.ports[1]}",
                    f"neural_gpu_bus.port={self.ports[2]}", f"redis.program={program}"]
        for section in ("neural_host", "gpu_host", "marketdata_engine", "ml_engine",
                        "risk_engine"):
            settings.append(f"{section}.enabled=false")
        settings += more
        self.args = [str(DAEMON)]
        for s in settings:
            self.args += ["--set", s]
        self.log = open(self.folder / "tribusd.out", "w+")
        self.process = None

    def start(self, **env):
        self.process = subprocess.Popen(self.args, stderr=self.log, stdout=self.log,
                                        env={**os.environ, **env})
        return self

    def await_charge(self):
        """Before it catches signals, a signal ends it as it ends any program: nothing is there."""
        wanted = 1 << (signal.SIGTERM - 1) | 1 << (signal.SIGINT - 1)
        end = time.monotonic() + 60
        while True:
            status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
            caught = int(status.split("SigCgt:")[1].split()[0], 16)
            if caught & wanted == wanted:
                return
            assert time.monotonic() < end and self.process.poll() is None, self.output()
            time.sleep(0.001)

    def output(self):
        return (self.folder / "tribusd.out").read_text()

    def health(self, want=None, timeout=60):
        end = time.monotonic() + timeout
        while True:
            try:
                url = f"http://127.0.0.1:{self.ports[3]}/health"
                with urllib.request.urlopen(url, timeout=60) as page:
                    state = json.loads(page.read())
                rows = {c["name"]: c["state"] for c in state["children"]}
                if want is None or all(rows.get(k) == v for k, v in want.items()):
                    return state
            except OSError:
                rows = None
            assert time.monotonic() < end, f"health: {rows}, wanted {want}\n{self.output()}"
            assert self.process.poll() is None, f"tribusd ended\n{self.output()}"
            time.sleep(0.02)

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        code = self.process.wait(timeout=60)
        self.log.close()
        return code

    def check_nothing_left(self):
        assert not self.socket.exists(), "socket left"
        assert not pathlib.Path(f"{self.socket}.lock").exists(), "lock left"
        for port in self.ports:
            with socket.socket() as s:
                assert s.connect_ex(("127.0.0.1", port)) != 0, f"port {port} still open"


UP = {"redis-marketdata": "up", "redis-engine-logic": "up", "redis-neural-gpu": "up"}


def ping(port):
    with socket.create_connection(("127.0.0.1", port), timeout=60) as s:
        s.sendall(b"PING\r\n")
        return s.recv(16)


def servers_answer_and_a_stop_leaves_nothing(folder):
    p = Platform(folder).start()
    state = p.health(UP)
    assert state["status"] == "ok" and state["pid"] == p.process.pid
    for port in p.ports[:3]:
        assert ping(port) == b"+PONG\r\n"
    with urllib.request.urlopen(f"http://127.0.0.1:{p.ports[3]}/metrics") as page:
        text = page.read().decode()
    assert "\ntribus_child_up{child=\"redis-marketdata\",kind=\"redis\"} 1\n" in text
    assert "# TYPE tribus_agent_memory_bytes gauge" in text
    for line in text.splitlines():  # the shape of the exposition format
        assert line.startswith("#") or len(line.rsplit(" ", 1)) == 2, line
    assert (os.stat(p.socket).st_mode & 0o777) == 0o600
    assert p.end() == 0, "exit status"
    p.check_nothing_left()


def a_second_agent_names_the_first(folder):
    p = Platform(folder).start()
    p.health(UP)
    second = subprocess.run(p.args, capture_output=True, text=True, timeout=60)
    assert second.returncode == 1
    assert f"process {p.process.pid};" in second.stderr, second.stderr
    assert "`tribus down`" in second.stderr
    p.health(UP)
    assert p.end(signal.SIGINT) == 0
    p.check_nothing_left()


def signals_at_any_moment_leave_nothing(folder):
    seed = int(os.environ.get("TRIBUS_SEED", time.time()))
    print(f"TRIBUS_SEED={seed}")
    moments = random.Random(seed)
    for i in range(12):
        sub = pathlib.Path(folder) / str(i)
        sub.mkdir(mode=0o700)
        p = Platform(sub).start()
        p.await_charge()
        time.sleep(moments.random() * 0.45)
        number = moments.choice([signal.SIGINT, signal.SIGTERM])
        code = p.end(number)
        assert code == 0, f"round {i}: exit status {code}\n{(sub / 'tribusd.out').read_text()}"
        p.check_nothing_left()


def a_killed_agent_takes_its_servers_along_and_can_be_started_again(folder):
    p = Platform(folder).start()
    state = p.health(UP)
    pids = [c["pid"] for c in state["children"]]
    p.process.kill()
    p.process.wait()
    end = time.monotonic() + 60
    while any(pathlib.Path(f"/proc/{pid}/exe").exists() for pid in pids):
        assert time.monotonic() < end, "a server outlived the agent"
        time.sleep(0.01)
    p.start()
    p.health(UP)
    assert p.end() == 0
    p.check_nothing_left()


def a_server_that_dies_is_started_again(folder):
    p = Platform(folder).start()
    state = p.health(UP)
    victim = next(c for c in state["children"] if c["name"] == "redis-marketdata")
    os.kill(victim["pid"], signal.SIGKILL)
    end = time.monotonic() + 60
    while True:
        state = p.health(UP)
        row = next(c for c in state["children"] if c["name"] == "redis-marketdata")
        if row["restarts"] == 1:
            break
        assert time.monotonic() < end
    assert ping(p.ports[0]) == b"+PONG\r\n"
    assert p.end() == 0
    p.check_nothing_left()


def a_taken_port_is_a_warning_and_the_rest_works(folder):
    p = Platform(folder)
    with socket.socket() as s:
        s.bind(("127.0.0.1", p.ports[0]))
        s.listen()
        p.start()
        p.health({"redis-marketdata": "failed", "redis-engine-logic": "up"})
        assert f"port {p.ports[0]} is taken by something that is not Redis" in p.output()
        assert p.end() == 0
    p.check_nothing_left()


def without_a_server_program_the_fabric_works(folder):
    p = Platform(folder, program="/nowhere/redis-server").start()
    state = p.health({k: "failed" for k in UP})
    assert state["status"] == "degraded"
    assert "/nowhere/redis-server: no such program" in p.output()
    assert p.end() == 0
    p.check_nothing_left()


def bad_settings_are_one_line_and_nothing_starts(folder):
    config = pathlib.Path(folder) / "platform.yaml"
    config.write_text("agent:\n  metrics_port: 9180\n  nonsense: 1\n")
    run = subprocess.run([str(DAEMON), "--config", str(config)], capture_output=True,
                         text=True, timeout=60)
    assert run.returncode == 1, run
    assert f"{config}:3" in run.stderr and "nonsense" in run.stderr, run.stderr
    assert len(run.stderr.strip().splitlines()) == 1, run.stderr
    run = subprocess.run([str(DAEMON), "--no-such-option"], capture_output=True, text=True,
                         timeout=60)
    assert run.returncode == 2 and run.stderr.startswith("tribusd: "), run.stderr


def systemd_is_told_and_logs_can_be_json(folder):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(str(pathlib.Path(folder) / "notify"))
        told.settimeout(20)
        p = Platform(folder, "agent.log_format=json").start(
            NOTIFY_SOCKET=str(pathlib.Path(folder) / "notify"))
        assert told.recv(64) == b"READY=1"
        p.health(UP)
        assert p.end() == 0
        assert told.recv(64) == b"STOPPING=1"
    lines = [json.loads(line) for line in p.output().splitlines()]
    assert len(lines) > 5
    for line in lines:
        assert line.keys() == {"time", "level", "program", "pid", "text"}, line
        assert line["program"] == "tribusd" and line["pid"] == p.process.pid
    p.check_nothing_left()


def main():
    if shutil.which("redis-server") is None:
        print("skip: no redis-server here")
        return SKIP
    if not DAEMON.exists():
        print(f"skip: {DAEMON} is not built")
        return SKIP
    os.environ.pop("TRIBUS_SOCKET", None)
    for test in (bad_settings_are_one_line_and_nothing_starts,
                 servers_answer_and_a_stop_leaves_nothing, a_second_agent_names_the_first,
                 a_server_that_dies_is_started_again,
                 a_killed_agent_takes_its_servers_along_and_can_be_started_again,
                 a_taken_port_is_a_warning_and_the_rest_works,
                 without_a_server_program_the_fabric_works,
                 systemd_is_told_and_logs_can_be_json, signals_at_any_moment_leave_nothing):
        with tempfile.TemporaryDirectory(prefix="tribus-") as folder:
            test(folder)
        print(f"{test.__name__}: ok", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
