#!/usr/bin/env python3
"""Two hosts, as network namespaces, whose agents use the same Redis servers."""
import json
import os
import subprocess
import tempfile
import threading

import bus_platform
from bus_platform import BUSES, Platform, envelope, free_port, skip, wait_for

bus_platform.need("redis-server", "redis-cli", "ip")
if os.geteuid() != 0:
    skip("network namespaces need root")

TAG = f"tb{os.getpid() % 100000}"
ALERT = {"component": "test", "text": "", "severity": "info"}
STREAM = "nautilus-engine_logic_bus-order_request"


def ip(*words, check=True):
    done = subprocess.run(["ip"] + list(words), capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise OSError(f"ip {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


class Net:
    """One namespace with the servers, and one each for the hosts a and b, joined to it."""

    def __init__(self):
        self.servers = []
        self.spaces = [f"{TAG}s", f"{TAG}a", f"{TAG}b"]
        self.folder = tempfile.mkdtemp(prefix="tribus-net-")

    def __enter__(self):
        try:
            for space in self.spaces:
                ip("netns", "add", space)
                ip("-n", space, "link", "set", "lo", "up")
            for i, host in enumerate("ab", 1):
                ip("link", "add", f"{TAG}{host}0", "type", "veth", "peer", "name",
                   f"{TAG}{host}1")
                for end, space, last in ((0, f"{TAG}s", 1), (1, f"{TAG}{host}", 2)):
                    ip("link", "set", f"{TAG}{host}{end}", "netns", space)
                    ip("-n", space, "addr", "add", f"10.231.{i}.{last}/24", "dev",
                       f"{TAG}{host}{end}")
                    ip("-n", space, "link", "set", f"{TAG}{host}{end}", "up")
        except OSError as fault:
            self.__exit__()
            skip(f"no network namespaces here: {fault}")
        self.ports = {bus: free_port() for bus in BUSES}
        for bus, port in self.ports.items():
            self.servers.append(subprocess.Popen(
                ["ip", "netns", "exec", f"{TAG}s", "redis-server", "--port", str(port),
                 "--protected-mode", "no", "--save", "", "--dir", self.folder, "--bind",
                 "0.0.0.0"], stdout=subprocess.DEVNULL))
        return self

    def __exit__(self, *_):
        for server in self.servers:
            server.kill()
            server.wait()
        for space in self.spaces:
            ip("netns", "del", space, check=False)
        os.rmdir(self.folder)

    def cli(self, bus, *words):
        return subprocess.run(["ip", "netns", "exec", f"{TAG}s", "redis-cli", "-p",
                               str(self.ports[bus])] + list(words), capture_output=True,
                              text=True, check=False).stdout

    def link(self, host, state):
        ip("-n", f"{TAG}s", "link", "set", f"{TAG}{host}0", state)


class Host(Platform):
    def __init__(self, net, name, number):
        self.net = net
        super().__init__(ports=net.ports, spawn=False, settings=[
            f"{bus}_bus.host=10.231.{number}.1" for bus in BUSES] + [f"agent.host={name}"])
        self.command = ["ip", "netns", "exec", f"{TAG}{name}"]

    def answers(self, port):
        return "PONG" in self.net.cli(next(b for b in BUSES if self.ports[b] == port), "ping")

    def listeners(self, bus, kind):
        out = self.net.cli(bus, "pubsub", "numsub", f"nautilus-{bus}_bus-{kind}").split()
        return int(out[1]) if len(out) > 1 else 0


class Tap(threading.Thread):
    """What a local subscriber of a host hears."""

    def __init__(self, p):
        super().__init__(daemon=True)
        self.process = p.popen(bus_platform.TRIBUS, "tap", "--json", "--ask", "--type",
                               "system_alert", stderr=subprocess.DEVNULL)
        self.texts = []
        self.start()

    def run(self):
        for line in self.process.stdout:
            self.texts.append(json.loads(line)["data"]["text"])

    def heard(self, text):
        return text in self.texts


def say(p, *what):
    out = p.run("publish", text="\n".join(
        envelope("engine_logic", "system_alert", dict(ALERT, text=t)) for t in what))
    assert out == f"{len(what)} published, 0 refused\n", out


def a_message_of_one_host_is_heard_once_on_the_other(a, b):
    taps = {"a": Tap(a), "b": Tap(b)}
    for p, name, other in ((a, "a", "b"), (b, "b", "a")):
        wait_for(f"{name} to see that somebody listens",
                 lambda: say(p, f"{name}?") or taps[other].heard(f"{name}?"))
    for p, name in ((a, "a"), (b, "b")):
        say(p, *[f"{name}{i}" for i in range(200)], f"{name}!")
    for tap in taps.values():
        wait_for("the last ones", lambda: tap.heard("a!") and tap.heard("b!"))
    for p in (a, b):  # once more through everything: what would come twice has come by now
        say(p, "end" + str(p.net.ports["marketdata"]))
    for tap in taps.values():
        wait_for("the end", lambda: tap.texts.count(f"end{a.net.ports['marketdata']}") == 2)
        for name in "ab":
            got = [t for t in tap.texts if t[0] == name and t[1:] not in "?!"]
            assert got == [f"{name}{i}" for i in range(200)], (len(got), len(set(got)))
        tap.process.kill()
        tap.join()
    print("passed: a message of one host is heard once on the other")


def registry_says_which_host_owns_what(net, a, b):
    keep = a.popen(bus_platform.TRIBUS, "publish", stdin=subprocess.PIPE)
    keep.stdin.write(envelope("engine_logic", "system_alert", ALERT) + "\n")
    keep.stdin.flush()

    def host(name):
        return json.loads(net.cli("neural_gpu", "get", f"nautilus-host-{name}") or "{}")

    topic = f"bus/engine_logic/tool-{keep.pid}"
    wait_for("a's topic", lambda: any(o["name"] == topic for o in host("a").get("objects", ())))
    wait_for("b's word", lambda: host("b"))
    assert not any(o["name"] == topic for o in host("b")["objects"])
    one = next(o for o in host("a")["objects"] if o["name"] == topic)
    owner = next(p for p in host("a")["participants"] if p["number"] == one["owner"])
    assert owner["process"] == keep.pid and one["kind"] == "topic", (owner, one)
    assert net.cli("neural_gpu", "smembers", "nautilus-hosts").split() in (["a", "b"],
                                                                         ["b", "a"])
    shown = hosts(net, a)
    assert shown.returncode == 0, shown.stderr
    mine = next(line for line in shown.stdout.splitlines() if topic in line)
    assert mine.endswith(owner["name"]) and "topic" in mine, mine
    rows = [json.loads(line) for line in hosts(net, a, "--json").stdout.splitlines()]
    assert sorted(row["host"] for row in rows) == ["a", "b"], rows
    keep.stdin.close()
    assert keep.wait(bus_platform.PATIENCE) == 0
    print("passed: the registry says which host owns what")


def hosts(net, a, *words):
    return subprocess.run(["ip", "netns", "exec", f"{TAG}a", bus_platform.TRIBUS, "hosts", *words,
                           *a.words], env=a.env, capture_output=True, text=True, check=False)


def a_cut_link_loses_and_repeats_nothing_durable(net, a, b):
    def orders():
        lines = net.cli("engine_logic", "xrange", STREAM, "-", "+").splitlines()
        return [json.loads(line)["data"]["order"] for line in lines if line.startswith("{")]

    publisher = a.popen(bus_platform.TRIBUS, "publish", stdin=subprocess.PIPE)

    def publish(first, last):
        for i in range(first, last):
            publisher.stdin.write(envelope(
                "engine_logic", "order_request",
                {"order": f"o-{i}", "symbol": "ABC", "side": "buy", "order_type": "market",
                 "qty": 1}) + "\n")
        publisher.stdin.flush()

    publish(0, 300)
    wait_for("the first orders", lambda: len(orders()) > 0)
    net.link("a", "down")
    publish(300, 900)
    wait_for("a to notice", lambda: "the wire is tried again" in a.log())
    local = Tap(a)
    wait_for("local traffic to go on", lambda: say(a, "here") or local.heard("here"))
    net.link("a", "up")
    publish(900, 1200)
    publisher.stdin.close()
    assert publisher.wait(bus_platform.PATIENCE) == 0
    got = orders()
    assert got == [f"o-{i}" for i in range(1200)], (len(got), len(set(got)))
    wait_for("a to be joined again", lambda: "joined with redis" in a.log())
    tries = a.log().count("the wire is tried again")
    assert tries <= len(BUSES), f"said once for each bus, not {tries} times"
    assert "tried again" not in b.log(), b.log()
    print("passed: a cut link loses and repeats nothing durable")


with Net() as network, Host(network, "a", 1) as one, Host(network, "b", 2) as two:
    a_message_of_one_host_is_heard_once_on_the_other(one, two)
    registry_says_which_host_owns_what(network, one, two)
    a_cut_link_loses_and_repeats_nothing_durable(network, one, two)
    a_message_of_one_host_is_heard_once_on_the_other(one, two)
