#!/usr/bin/env python3
"""Others on the wire that misbehave: refused or contained, said once, counted."""
import json
import os
import socket
import subprocess
import urllib.request

import bus_platform
from bus_platform import BUSES, Platform, envelope, free_port, wait_for

bus_platform.need("redis-server", "redis-cli")
PRICE = "nautilus-marketdata_bus-price_update"
SLOW_LIMIT = 4 << 20  # bytes that Redis keeps for a subscriber: more than one portion
FLOOD = 200  # connections
MESSAGES = 5000  # of a portion, 1.7 MB of JSON


class Raw:
    """A client that sends words and reads when told to."""

    def __init__(self, port, room=None):
        self.sock = socket.socket()
        if room:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        self.sock.settimeout(bus_platform.PATIENCE)
        self.sock.connect(("127.0.0.1", port))

    def send(self, *words):
        data = [b"*%d\r\n" % len(words)]
        for word in words:
            word = word if isinstance(word, bytes) else word.encode()
            data.append(b"$%d\r\n%s\r\n" % (len(word), word))
        self.sock.sendall(b"".join(data))

    def read_until(self, what):
        got = b""
        while what not in got:
            more = self.sock.recv(65536)
            assert more, got[-200:]
            got += more
        return got

    def close(self):
        self.sock.close()


def prices(first, last):
    return "\n".join(envelope("marketdata", "price_update",
                              {"symbol": "ABC", "price": i})
                     for i in range(first, last))


def tap(p, kind, count):
    """A local subscriber that asks for messages, joined with the wire."""
    bus = "marketdata" if kind == "price_update" else "engine_logic"
    child = p.popen(bus_platform.TRIBUS, "tap", "--json", "--ask", "--type", kind, "--count",
                    str(count), "--seconds", str(bus_platform.PATIENCE))
    wait_for("the agent to subscribe", lambda: p.listeners(bus, kind))
    return child


def outages_said(p):
    return sum("tried again" in line and "MarketData" in line for line in p.log().splitlines())


def be_heard(p, client):
    """Publish until the bridge knows that this client listens."""
    client.sock.settimeout(0.2)
    for _ in range(1000):
        p.run("publish", text=prices(0, 1))
        try:
            assert client.sock.recv(65536)
            client.sock.settimeout(bus_platform.PATIENCE)
            return
        except TimeoutError:
            pass
    raise AssertionError("the bridge does not listen")


def metric(p, name, label=""):
    page = urllib.request.urlopen(f"http://127.0.0.1:{p.metrics}/metrics",
                                  timeout=bus_platform.PATIENCE).read().decode()
    lines = [line for line in page.splitlines()
             if line.startswith(name) and label in line]
    assert len(lines) == 1, (name, label, page)
    return int(float(lines[0].split()[-1]))


def counted(p, name, bus):
    return metric(p, f"tribus_bridge_{name}_total{{", f'"{bus}_bus"')


def a_subscriber_that_does_not_read_is_dropped_alone(p):
    port = p.ports["marketdata"]
    p.cli(port, "config", "set", "client-output-buffer-limit", f"pubsub {SLOW_LIMIT} 0 0",
          check=True)
    said = outages_said(p)  # a server that starts late, perhaps
    slow, good = Raw(port, room=4096), Raw(port)
    for client, name in ((slow, "slow"), (good, "good")):
        client.send("CLIENT", "SETNAME", name)
        client.read_until(b"+OK\r\n")
        client.send("SUBSCRIBE", PRICE)
        client.read_until(b":1\r\n")
    be_heard(p, good)
    local = tap(p, "price_update", MESSAGES)
    sent = 0
    heard = []
    # It is gone once the server has more for it than it keeps.
    while sent == 0 or "name=slow" in p.cli(port, "client", "list"):
        assert sent < 100 * MESSAGES
        text = prices(sent, sent + MESSAGES)
        assert p.run("publish", text=text) == f"{MESSAGES} published, 0 refused\n"
        sent += MESSAGES
        # Others have all of them, before the next ones come.
        good.read_until(b'"price":%d.0,' % (sent - 1))
        heard = heard or [json.loads(line)["data"]["price"] for line in local.stdout]
    assert "name=good" in p.cli(port, "client", "list")
    assert heard == list(range(MESSAGES)), (len(heard), heard[:3])
    assert local.wait(bus_platform.PATIENCE) == 0
    assert outages_said(p) == said, p.log()
    for client in (slow, good):
        client.close()
    p.cli(port, "config", "set", "client-output-buffer-limit", "pubsub 32mb 8mb 60", check=True)


def a_flood_of_subscriptions_delays_nobody_for_good(p):
    port = p.ports["marketdata"]
    said = outages_said(p)
    flood = [Raw(port) for _ in range(FLOOD)]
    for client in flood:
        client.send("PSUBSCRIBE", *[f"nautilus-*{i}*" for i in range(20)], "nautilus-*")
    for client in flood:
        client.read_until(b"nautilus-*\r\n:21\r\n")
    many = Raw(port)
    many.send("SUBSCRIBE", *[f"channel-{i}" for i in range(20000)])
    many.read_until(b":20000\r\n")
    good = Raw(port)
    good.send("SUBSCRIBE", PRICE)
    good.read_until(b":1\r\n")
    be_heard(p, good)
    local = tap(p, "price_update", 100)
    assert p.run("publish", text=prices(0, 100)) == "100 published, 0 refused\n"
    good.read_until(b'"price":99.0,')
    heard = [json.loads(line)["data"]["price"] for line in local.stdout]
    assert heard == list(range(100)), heard
    for client in flood + [many, good]:
        client.close()
    assert outages_said(p) == said, p.log()


def an_oversized_message_is_dropped_and_counted(p):
    port = p.ports["marketdata"]
    local = tap(p, "price_update", 1)
    before = counted(p, "malformed", "marketdata")
    writer = Raw(port)
    writer.send("PUBLISH", PRICE, b'{"type":"price_update","data":{"symbol":"' +
                b"x" * (8 << 20) + b'"}}')
    writer.read_until(b"\r\n")
    writer.send("PUBLISH", PRICE, b"[" * (1 << 20))
    writer.read_until(b"\r\n")
    wait_for("both to be counted", lambda: counted(p, "malformed", "marketdata") == before + 2)
    writer.send("PUBLISH", PRICE, prices(7, 8))
    assert json.loads(local.stdout.readline())["data"]["price"] == 7
    assert local.wait(bus_platform.PATIENCE) == 0
    assert 1 <= p.log().count("dropped a message") <= 2, p.log()
    writer.close()


def a_message_over_all_limits_costs_a_connection(p):
    port = p.ports["marketdata"]
    local = tap(p, "price_update", 1)
    outages, said = counted(p, "outages", "marketdata"), outages_said(p)
    writer = Raw(port)
    writer.send("PUBLISH", PRICE, b"x" * (80 << 20))
    writer.read_until(b"\r\n")
    wait_for("the outage to be counted",
             lambda: counted(p, "outages", "marketdata") > outages)
    wait_for("the bridge to subscribe again",
             lambda: p.listeners("marketdata", "price_update"))
    writer.send("PUBLISH", PRICE, prices(8, 9))
    assert json.loads(local.stdout.readline())["data"]["price"] == 8
    assert local.wait(bus_platform.PATIENCE) == 0
    assert outages_said(p) == said + 1, p.log()
    writer.close()


def a_process_of_another_user_is_refused(p):
    if os.geteuid() != 0:
        print("skipped: another user: needs root")
        return
    before = metric(p, "tribus_agent_refused_total")
    os.chmod(p.folder, 0o711)
    os.chmod(p.socket, 0o666)

    def become_nobody():
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)

    for _ in range(3):
        done = subprocess.run([bus_platform.TRIBUS, "tap", "--count", "1"], env=p.env,
                              cwd="/", capture_output=True, text=True, check=False,
                              preexec_fn=become_nobody, timeout=bus_platform.PATIENCE)
        assert done.returncode == 1, (done.stdout, done.stderr)
        assert "user" in done.stderr, done.stderr
    assert metric(p, "tribus_agent_refused_total") >= before + 3
    assert p.log().count("connection refused") == 1, p.log()


def a_wrong_password_is_said_once_and_local_traffic_goes_on():
    ports = {bus: free_port() for bus in BUSES}
    servers = [subprocess.Popen(["redis-server", "--port", str(port), "--save", "",
                                 "--requirepass", "right"], stdout=subprocess.DEVNULL)
               for port in ports.values()]
    p = Platform(ports=ports, spawn=False, wait=False, settings=["redis.password=wrong"])
    try:
        for port in ports.values():
            wait_for("the server", lambda at=port: "NOAUTH" in Platform.cli(at, "ping"))
        with p:
            wait_for("the refusals", lambda: p.log().count("tried again") >= len(BUSES))
            local = p.popen(bus_platform.TRIBUS, "tap", "--json", "--ask", "--type",
                            "price_update", "--count", "1")
            wait_for("the local subscriber",
                     lambda: p.run("publish", text=prices(1, 2)) and local.poll() is not None)
            assert local.returncode == 0
            log = p.log()
            assert log.count("tried again") == len(BUSES), log
            assert "WRONGPASS" in log and "wrong" not in log.replace("WRONGPASS", ""), log
    finally:
        for server in servers:
            server.kill()
            server.wait()


metrics = free_port()
with Platform(settings=[f"agent.metrics_port={metrics}"]) as platform:
    platform.metrics = metrics
    wait_for("the metrics page", lambda: platform.died() or socket.socket().connect_ex(
        ("127.0.0.1", metrics)) == 0)
    for test in (a_subscriber_that_does_not_read_is_dropped_alone,
                 a_flood_of_subscriptions_delays_nobody_for_good,
                 an_oversized_message_is_dropped_and_counted,
                 a_message_over_all_limits_costs_a_connection,
                 a_process_of_another_user_is_refused):
        test(platform)
        print("passed:", test.__name__, flush=True)
a_wrong_password_is_said_once_and_local_traffic_goes_on()
print("passed: a_wrong_password_is_said_once_and_local_traffic_goes_on")
