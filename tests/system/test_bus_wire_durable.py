#!/usr/bin/env python3
"""Durable messages while Redis and the agent are killed: each of them is accounted for."""
import collections
import os
import pathlib
import json
import signal
import subprocess
import threading

import bus_platform
from bus_platform import Platform, envelope, wait_for

bus_platform.need("redis-server", "redis-cli")
try:
    import redis
except ImportError:
    bus_platform.skip("no python3-redis")

STREAM = "nautilus-engine_logic_bus-order_request"
TOTAL = 6000
FAULTS = 4


def order(i):
    return envelope("engine_logic", "order_request",
                    {"order": f"o-{i}", "symbol": "ABC", "side": "buy",
                     "order_type": "market", "qty": 1})


class Reader(threading.Thread):
    """A member of a consumer group that knows nothing of Tribus and comes back after every
    lost connection: first to what it was given and did not acknowledge, then to news."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port = port
        self.first = collections.Counter()  # given as new
        self.again = collections.Counter()  # given again, and known to be
        self.stop = False
        self.fault = None

    def run(self):
        try:
            while not self.stop:
                try:
                    self.read(redis.Redis(port=self.port, socket_timeout=30))
                except (redis.ConnectionError, redis.TimeoutError, redis.BusyLoadingError):
                    pass
        except Exception as fault:  # pylint: disable=broad-except
            self.fault = fault

    def read(self, client):
        try:
            client.xgroup_create(STREAM, "oms", id="0", mkstream=True)
        except redis.ResponseError as fault:
            assert "BUSYGROUP" in str(fault), fault
        start = "0"
        while not self.stop:
            got = client.xreadgroup("oms", "oms-1", {STREAM: start}, count=100, block=100)
            entries = got[0][1] if got else []
            if start != ">" and not entries:
                start = ">"
                continue
            for key, fields in entries:
                name = json.loads(fields[b"json"])["data"]["order"]
                (self.first if start == ">" else self.again)[name] += 1
                client.xack(STREAM, "oms", key)


def server_pid(p):
    rows = json.loads(p.run("status", "--json"))["children"]
    return next(r["pid"] for r in rows if r["name"] == "redis-engine-logic")


def kill_server(p):
    pid = server_pid(p)
    os.kill(pid, signal.SIGKILL)
    wait_for("the server to be started again",
             lambda: server_pid(p) not in (0, pid) and p.answers(p.ports["engine_logic"]))


def kill_agent(p):
    p.agent.send_signal(signal.SIGKILL)  # its servers die with it
    p.agent.wait()
    wait_for("the servers to end", lambda: not p.answers(p.ports["engine_logic"]))
    p.start()


def accounts(p):
    publisher = subprocess.Popen([bus_platform.TRIBUS, "publish"], env=p.env, text=True,
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    p.children.append(publisher)
    reader = Reader(p.ports["engine_logic"])
    reader.start()
    for fault in range(FAULTS + 1):
        for i in range(fault * TOTAL // (FAULTS + 1), (fault + 1) * TOTAL // (FAULTS + 1)):
            publisher.stdin.write(order(i) + "\n")
        publisher.stdin.flush()
        wanted = fault * TOTAL // (FAULTS + 1)
        wait_for(f"{wanted} orders to arrive", lambda: len(reader.first) >= wanted
                 or reader.fault)
        if fault < FAULTS:
            (kill_server, kill_agent)[fault % 2](p)
    publisher.stdin.close()
    assert publisher.wait(bus_platform.PATIENCE) == 0
    assert publisher.stdout.read() == f"{TOTAL} published, 0 refused\n"
    all_of_them = {f"o-{i}" for i in range(TOTAL)}
    wait_for("every order", lambda: set(reader.first) | set(reader.again) == all_of_them
             or reader.fault)
    reader.stop = True
    reader.join(bus_platform.PATIENCE)
    assert reader.fault is None, reader.fault
    twice = [name for name, count in reader.first.items() if count > 1]
    assert not twice, f"given twice without a word: {twice[:5]}"
    client = redis.Redis(port=p.ports["engine_logic"])
    assert client.xpending(STREAM, "oms")["pending"] == 0
    stored = [json.loads(fields[b"json"])["data"]["order"]
              for _, fields in client.xrange(STREAM)]
    assert len(stored) == TOTAL and set(stored) == all_of_them, len(stored)
    assert stored == [f"o-{i}" for i in range(TOTAL)], "order is kept"
    print(f"passed: {TOTAL} orders, {FAULTS} kills, "
          f"{sum(reader.again.values())} given again")


def what_is_stored_outlives_the_platform(p):
    """`down` and `up`: the folder is kept; a server without one forgets."""
    data = pathlib.Path(p.folder) / "data" / "redis-engine-logic"
    assert (data / "appendonlydir").is_dir(), list(data.iterdir())
    assert data.stat().st_mode & 0o077 == 0
    p.agent.send_signal(signal.SIGTERM)
    assert p.agent.wait(bus_platform.PATIENCE) == 0
    p.start()
    client = redis.Redis(port=p.ports["engine_logic"])
    wait_for("the file to be read", lambda: client.xlen(STREAM) == TOTAL)
    print("passed: what is stored outlives the platform")


def a_folder_is_used_by_one_server_only(p):
    data = pathlib.Path(p.folder) / "data"
    with Platform(settings=(f"redis.data_folder={data}", "marketdata_bus.enabled=false",
                            "neural_gpu_bus.enabled=false"), wait=False) as other:
        wait_for("the refusal", lambda: "another agent's server uses this folder" in other.log()
                 or other.died())
    print("passed: a folder is used by one server only")


with Platform() as platform:
    try:
        accounts(platform)
    except BaseException:
        print(platform.log()[-4000:])
        raise
    what_is_stored_outlives_the_platform(platform)
    a_folder_is_used_by_one_server_only(platform)
with Platform(settings=("redis.keep=false",)) as platform:
    assert not (pathlib.Path(platform.folder) / "data").exists()
    print("passed: nothing is kept where nothing is to be kept")
