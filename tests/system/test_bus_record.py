#!/usr/bin/env python3
"""tribus record and replay: everything, in order, and as much as there is of a broken file."""
import json
import os
import signal
import subprocess

import bus_platform
from bus_platform import Platform, TRIBUS, envelope, wait_for

bus_platform.need("redis-server", "redis-cli")
COUNT = 12000  # fewer than a topic keeps: nobody can be lapped, however busy the machine


def prices(first, last):
    return "\n".join(envelope("marketdata", "price_update", {"symbol": "ABC", "price": i},
                              engine_instance="feed-1") for i in range(first, last + 1))


def values(lines):
    return [json.loads(line)["data"]["price"] for line in lines if '"price_update"' in line]


def recorder(p, path, *words):
    child = subprocess.Popen([TRIBUS, "record", path] + list(words), env=p.env, text=True,
                             stdout=subprocess.PIPE)
    p.children.append(child)
    wait_for("the recording", lambda: os.path.exists(path))
    return child


def what_was_published_is_recorded(p, path):
    child = recorder(p, path, "--count", str(COUNT + 1))
    p.run("publish", text=prices(1, COUNT))
    p.publish("engine_logic", "order_request", {
        "order": "o-1", "symbol": "ABC", "side": "buy", "order_type": "market", "qty": 1})
    out, _ = child.communicate(timeout=bus_platform.PATIENCE)
    assert out == f"{COUNT + 1} recorded, 0 lost\n", out
    lines = p.run("replay", path, "--json").splitlines()
    assert values(lines) == list(range(1, COUNT + 1))
    assert os.path.getsize(path) < COUNT * 40, os.path.getsize(path)
    p.run("record", path, code=1)
    assert "--force" in p.errors, p.errors


def a_replay_is_heard_and_orders_are_held_back(p, path):
    tap = p.popen(TRIBUS, "tap", "--json", "--ask", "--count", str(COUNT), "--seconds", "110")
    wait_for("the tap", lambda: p.listeners("marketdata", "price_update"))
    out = p.run("replay", path, "--speed", "5")
    assert f"{COUNT} published, 0 invalid" in out and "1 durable" in out, out
    got = [json.loads(line) for line in tap.stdout]
    assert [m["data"]["price"] for m in got] == list(range(1, COUNT + 1))
    assert got[0]["engine_instance"] == "feed-1", got[0]


def a_truncated_file_is_read_up_to_its_last_good_block(p, path):
    with open(path, "rb") as f:
        whole = f.read()
    broken = path + ".broken"
    for part in (0.9, 0.5, 0.1):
        with open(broken, "wb") as f:
            f.write(whole[:int(len(whole) * part)])
        lines = p.run("replay", broken, "--json").splitlines()
        assert "its end is missing" in p.errors, p.errors
        assert values(lines) == list(range(1, len(lines) + 1)), len(lines)
        assert part < 0.2 or len(lines) > COUNT * (part - 0.3), (part, len(lines))
    with open(broken, "wb") as f:
        f.write(b"nonsense" * 100)
    p.run("replay", broken, code=1)
    assert "is no recording" in p.errors, p.errors
    p.run("replay", path + ".missing", code=1)
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0x40
    with open(broken, "wb") as f:
        f.write(flipped)
    lines = p.run("replay", broken, "--json").splitlines()
    assert values(lines) == list(range(1, len(lines) + 1)) and len(lines) < COUNT


def a_killed_recorder_keeps_what_was_a_second_old(p, path):
    killed = path + ".killed"
    child = recorder(p, killed)
    p.run("publish", text=prices(1, 500))
    wait_for("a block on disk", lambda: os.path.getsize(killed) > 1000)
    child.send_signal(signal.SIGKILL)
    child.wait()
    lines = p.run("replay", killed, "--json").splitlines()
    assert len(lines) > 0 and values(lines) == list(range(1, len(lines) + 1))


with Platform() as platform:
    file = os.path.join(platform.folder, "traffic.rec")
    for test in (what_was_published_is_recorded, a_replay_is_heard_and_orders_are_held_back,
                 a_truncated_file_is_read_up_to_its_last_good_block,
                 a_killed_recorder_keeps_what_was_a_second_old):
        test(platform, file)
        print("passed:", test.__name__)
