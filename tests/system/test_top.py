#!/usr/bin/env python3
"""tribus top: counts that are right, on a terminal, off it, and for programs."""
import errno
import json
import os
import pty
import select
import signal
import subprocess
import time

import bus_platform
from bus_platform import BUSES, Platform, TRIBUS, envelope, wait_for

bus_platform.need("redis-server", "redis-cli")
COUNT = 500


def prices():
    return "\n".join(envelope("marketdata", "price_update", {"symbol": "ABC", "price": i})
                     for i in range(COUNT))


def health(name, published):
    return envelope("engine_logic", "engine_health", {
        "state": "running", "process": 4711, "messages_received": 7,
        "messages_published": published, "messages_lost": 3}, engine_instance=name)


def once_shows_servers_and_ends(p):
    view = json.loads(p.run("top", "--once", "--json", "--interval", "0.05"))
    assert view["agent_answers"] and view["pid"] == p.agent.pid, view
    assert [bus["name"] for bus in view["buses"]] == [bus + "_bus" for bus in BUSES]
    for bus in view["buses"]:
        name = bus["name"][:-len("_bus")]
        assert bus["server"] == f"127.0.0.1:{p.ports[name]}", bus
    lines = p.run("top", "--once", "--interval", "0.05")
    assert lines.startswith("tribusd ") and "\033" not in lines, lines
    for head in ("BUS", "ENGINE", "PIPELINE", "LINK"):
        assert any(line.startswith(head) for line in lines.splitlines()), lines
    p.run("top", "--interval", "0", code=2)


def every_message_is_counted_and_engines_are_listed(p):
    top = p.popen(TRIBUS, "top", "--json", "--interval", "0.1")
    first = json.loads(top.stdout.readline())["buses"][0]["messages"]
    talker = subprocess.Popen([TRIBUS, "publish"], env=p.env, stdin=subprocess.PIPE,
                              stdout=subprocess.DEVNULL, text=True)
    p.children.append(talker)
    talker.stdin.write(prices() + "\n" + health("top-engine", 10) + "\n")
    talker.stdin.flush()
    end = time.monotonic() + bus_platform.PATIENCE
    rate = 0.0
    while True:  # the counts are exact, whenever the looks fall
        view = json.loads(top.stdout.readline())
        rate += view["buses"][0]["messages_per_s"] * view["seconds"]
        names = [engine["name"] for engine in view["engines"]]
        if view["buses"][0]["messages"] - first == COUNT and "top-engine" in names:
            break
        assert view["buses"][0]["messages"] - first <= COUNT, view["buses"]
        assert time.monotonic() < end, view
    assert abs(rate - COUNT) < COUNT * 0.02, rate
    engine = view["engines"][names.index("top-engine")]
    assert engine["state"] == "running" and engine["pid"] == 4711 and engine["lost"] == 3
    assert view["buses"][0]["publishers"] >= 1, view["buses"]
    talker.stdin.close()
    talker.wait()
    top.send_signal(signal.SIGTERM)
    top.wait()


def a_terminal_gets_a_table_that_is_drawn_over(p):
    ours, theirs = pty.openpty()
    top = subprocess.Popen([TRIBUS, "top", "--interval", "0.05"], env=p.env, stdout=theirs)
    p.children.append(top)
    os.close(theirs)
    seen = b""
    end = time.monotonic() + bus_platform.PATIENCE
    while seen.count(b"\033[H") < 3:
        assert time.monotonic() < end and top.poll() is None, seen
        if select.select([ours], [], [], 1)[0]:
            seen += os.read(ours, 65536)
    assert b"\033[?1049h" in seen and b"MarketData" in seen, seen
    top.send_signal(signal.SIGINT)
    top.wait(bus_platform.PATIENCE)
    assert top.returncode == 0, top.returncode
    try:
        while True:
            seen += os.read(ours, 65536)
    except OSError as error:  # how a terminal that nobody writes to any more ends
        assert error.errno == errno.EIO, error
    assert b"\033[?1049l" in seen, seen[-200:]  # the terminal is as it was
    os.close(ours)


def without_an_agent_it_says_so(p):
    p.agent.send_signal(signal.SIGTERM)
    p.agent.wait(bus_platform.PATIENCE)
    wait_for("the socket to go", lambda: not os.path.exists(p.socket))
    p.run("top", "--once", code=3)


with Platform() as platform:
    for test in (once_shows_servers_and_ends, every_message_is_counted_and_engines_are_listed,
                 a_terminal_gets_a_table_that_is_drawn_over, without_an_agent_it_says_so):
        test(platform)
        print("passed:", test.__name__)
