#!/usr/bin/env python3
"""Sentinel failover while orders flow: the wire moves with the server, nothing is lost."""
import json
import pathlib
import re
import signal
import subprocess
import threading

import bus_platform
from bus_platform import Platform, envelope, free_port, wait_for

bus_platform.need("redis-server", "redis-cli")
try:
    import redis
except ImportError:
    bus_platform.skip("no python3-redis")
STREAM = "nautilus-engine_logic_bus-order_request"
ALERT = {"component": "test", "text": "after", "severity": "info"}


class Servers:
    """A server, its replica and one Sentinel, on free ports."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.first, self.second, self.sentinel = (free_port() for _ in range(3))
        self.running = {}
        self.start(self.first)
        self.start(self.second, "--replicaof", "127.0.0.1", str(self.first))
        wait_for("the replica", lambda: "slave0:" in Platform.cli(self.first, "info",
                                                                  "replication"))
        conf = self.folder / "sentinel.conf"
        conf.write_text(f"port {self.sentinel}\nbind 127.0.0.1\ndir \"{self.folder}\"\n"
                        f"sentinel monitor engine_logic 127.0.0.1 {self.first} 1\n"
                        "sentinel down-after-milliseconds engine_logic 2000\n"
                        "sentinel failover-timeout engine_logic 1000\n")
        self.launch(self.sentinel, str(conf), "--sentinel")
        wait_for("the Sentinel to know the replica",
                 lambda: str(self.second) in self.ask("replicas", "engine_logic"))

    def launch(self, port, *words):
        self.running[port] = subprocess.Popen(["redis-server"] + list(words),
                                              stdout=subprocess.DEVNULL, cwd=self.folder)
        wait_for(f"the server at {port}", lambda: Platform.answers(port))

    def start(self, port, *more):
        (self.folder / str(port)).mkdir(exist_ok=True)
        self.launch(port, "--port", str(port), "--bind", "127.0.0.1", "--save", "",
                    "--dir", str(self.folder / str(port)), "--appendonly", "yes",
                    "--repl-diskless-sync-delay", "0", *more)

    def ask(self, *words):
        return Platform.cli(self.sentinel, "sentinel", *words)

    def master(self):
        lines = self.ask("get-master-addr-by-name", "engine_logic").split()
        return int(lines[1]) if len(lines) == 2 else 0

    def signal(self, port, number):
        self.running[port].send_signal(number)

    def other(self, port):
        return self.second if port == self.first else self.first

    def kill(self, port):
        server = self.running.pop(port)
        server.kill()
        server.wait()

    def end(self):
        for port in list(self.running):
            self.kill(port)


def publish(publisher, first, last):
    for i in range(first, last):
        publisher.stdin.write(envelope(
            "engine_logic", "order_request",
            {"order": f"o-{i}", "symbol": "ABC", "side": "buy", "order_type": "market",
             "qty": 1}) + "\n")
    publisher.stdin.flush()


def orders(port):
    lines = Platform.cli(port, "xrange", STREAM, "-", "+").splitlines()
    return [json.loads(line)["data"]["order"] for line in lines if line.startswith("{")]


def finish(p, publisher, servers, count):
    """All are stored, each once, and on both. Which of the two is the master at the end is
    Sentinel's affair: on a busy machine it may change its mind."""
    wait_for("all orders to be stored", lambda: len(orders(servers.master())) >= count)
    publisher.stdin.close()
    assert publisher.wait(bus_platform.PATIENCE) == 0, p.log()
    got = orders(servers.master())
    assert got == [f"o-{i}" for i in range(count)], (len(got), len(set(got)), p.log())
    for port in (servers.first, servers.second):
        wait_for("the replica to have them all", lambda port=port: len(orders(port)) == count)


def local_traffic_goes_on(p):
    tap = p.popen(bus_platform.TRIBUS, "tap", "--json", "--ask", "--type", "performance_metric",
                  "--count", "200", "--seconds", str(bus_platform.PATIENCE))
    heard = []
    reader = threading.Thread(target=lambda: heard.extend(tap.stdout), daemon=True)
    reader.start()
    lines = "\n".join(envelope("engine_logic", "performance_metric",
                               {"metric": "latency", "value": float(i)}) for i in range(200))
    while reader.is_alive():  # until it listens, it misses what is published
        p.run("publish", text=lines)
        reader.join(0.1)
    assert len(heard) == 200 and tap.wait(bus_platform.PATIENCE) == 0, len(heard)


def orders_survive_the_loss_of_their_server(p, servers):
    publisher = p.popen(bus_platform.TRIBUS, "publish", stdin=subprocess.PIPE)
    lost = servers.master()
    publish(publisher, 0, 500)
    wait_for("the first orders", lambda: len(orders(lost)) > 100)
    servers.signal(servers.sentinel, signal.SIGSTOP)
    servers.kill(lost)
    # What waits fills the publisher's queue and then its pipe: not this test's.
    rest = threading.Thread(target=publish, args=(publisher, 500, 1400), daemon=True)
    rest.start()
    local_traffic_goes_on(p)
    servers.signal(servers.sentinel, signal.SIGCONT)
    wait_for("the failover", lambda: servers.master() == servers.other(lost))
    servers.start(lost, "--replicaof", "127.0.0.1", str(servers.other(lost)))
    rest.join(bus_platform.PATIENCE)
    publish(publisher, 1400, 2000)
    finish(p, publisher, servers, 2000)
    print("passed: orders survive the loss of their server")


def both_directions_moved(p, servers):
    pubsub = redis.Redis(port=servers.master()).pubsub()  # a replica hears it, too
    pubsub.subscribe("nautilus-engine_logic_bus-system_alert")
    assert pubsub.get_message(timeout=60)["type"] == "subscribe"

    def hear():
        p.publish("engine_logic", "system_alert", ALERT)
        message = pubsub.get_message(timeout=0.3)
        return message and message["type"] == "message" and json.loads(message["data"])

    assert wait_for("the agent to publish there", hear)["data"]["text"] == "after"
    tap = p.popen(bus_platform.TRIBUS, "tap", "--json", "--ask", "--type", "error_alert",
                  "--count", "1", "--seconds", str(bus_platform.PATIENCE))
    heard = []
    reader = threading.Thread(target=lambda: heard.append(tap.stdout.readline()), daemon=True)
    reader.start()
    while reader.is_alive():  # until the agent has subscribed there, nobody hears it
        Platform.cli(servers.master(), "publish", "nautilus-engine_logic_bus-error_alert",
                     envelope("engine_logic", "error_alert", {
                         "component": "c", "text": "back", "severity": "error", "code": 1}))
        reader.join(0.1)
    assert json.loads(heard[0])["data"]["text"] == "back"
    print("passed: both directions moved")


def orders_survive_a_server_that_comes_back_as_replica(p, servers):
    """It hangs, is replaced, and still believes to be what it was when it wakes up."""
    publisher = p.popen(bus_platform.TRIBUS, "publish", stdin=subprocess.PIPE)
    lost = servers.master()
    publish(publisher, 2000, 2200)
    wait_for("more orders", lambda: len(orders(lost)) > 2050)
    servers.signal(lost, signal.SIGSTOP)
    rest = threading.Thread(target=publish, args=(publisher, 2200, 3000), daemon=True)
    rest.start()
    wait_for("the failover", lambda: servers.master() == servers.other(lost))
    servers.signal(lost, signal.SIGCONT)
    wait_for("the agent to move", lambda: f"joined with redis at 127.0.0.1:{servers.other(lost)} "
             "again" in p.log())
    # Sentinel would, after ten seconds.
    Platform.cli(lost, "replicaof", "127.0.0.1", str(servers.other(lost)))
    rest.join(bus_platform.PATIENCE)
    finish(p, publisher, servers, 3000)
    print("passed: orders survive a server that comes back as replica")


def what_waits_for_a_replica_is_added_once():
    def waits(port):
        found = re.search(r"cmdstat_wait:calls=(\d+)", Platform.cli(port, "info", "commandstats"))
        return int(found[1]) if found else 0

    with Platform(settings=["redis.replicas=1"]) as p:
        port = p.ports["engine_logic"]
        for first in (0, 100):  # of two publishers: the last entry tells of one only
            publish(p.popen(bus_platform.TRIBUS, "publish", stdin=subprocess.PIPE), first,
                    first + 100)
            wait_for("the orders", lambda first=first: len(orders(port)) == first + 100)
        before = waits(port)
        Platform.cli(port, "client", "kill", "type", "normal")
        wait_for("the agent to ask again", lambda: waits(port) >= before + 2)
        assert len(orders(port)) == 200, len(orders(port))
    print("passed: what waits for a replica is added once")


def main():
    what_waits_for_a_replica_is_added_once()
    platform = Platform(spawn=False, wait=False)
    servers = None
    try:
        servers = Servers(platform.folder)
        platform.words += ["--set", f"redis.sentinels=127.0.0.1:1,127.0.0.1:{servers.sentinel}",
                           "--set", "redis.replicas=1",
                           "--set", "marketdata_bus.enabled=false",
                           "--set", "neural_gpu_bus.enabled=false"]
        with platform:
            orders_survive_the_loss_of_their_server(platform, servers)
            both_directions_moved(platform, servers)
            orders_survive_a_server_that_comes_back_as_replica(platform, servers)
            both_directions_moved(platform, servers)
    finally:
        if servers:
            servers.end()


main()
