#!/usr/bin/env python3
"""tribus tap: what it shows, and that a user who may only look can use it and no more."""
import json
import os
import subprocess

import bus_platform
from bus_platform import Platform, TRIBUS, envelope

bus_platform.need("redis-server", "redis-cli")
USER, GROUP = 54321, 54322
AS_READER = {"user": USER, "group": GROUP, "extra_groups": []}


def price(number, instance="feed-1"):
    return envelope("marketdata", "price_update", {"symbol": "ABC", "price": number},
                    engine_instance=instance)


def health(instance):
    return envelope("engine_logic", "engine_health", {"state": "running"},
                    engine_instance=instance)


class Talker:
    """A publisher that stays, so that a tap finds what it said whenever it comes."""

    def __init__(self, p, *lines):
        self.child = subprocess.Popen([TRIBUS, "publish"], env=p.env, stdin=subprocess.PIPE,
                                      stdout=subprocess.DEVNULL, text=True)
        p.children.append(self.child)
        self.child.stdin.write("\n".join(lines) + "\n")
        self.child.stdin.flush()

    def stop(self):
        self.child.stdin.close()
        self.child.wait()


def tap(p, *words, **more):
    child = p.popen(TRIBUS, "tap", "--history", "100", *words, stderr=subprocess.PIPE, **more)
    out, errors = child.communicate(timeout=bus_platform.PATIENCE)
    assert child.returncode == 0, errors
    return out.splitlines()


def filters_choose_bus_type_and_engine(p):
    talker = Talker(p, price(1), health("ml-1"), price(2), health("other-1"))
    got = [json.loads(line)["engine_instance"] for line in
           tap(p, "--json", "--bus", "engine_logic", "--count", "2")]
    assert got == ["ml-1", "other-1"], got
    got = [json.loads(line)["data"]["price"] for line in
           tap(p, "--json", "--type", "price_update", "--count", "2")]
    assert got == [1, 2], got
    got = tap(p, "--engine", "other*", "--count", "1")
    assert len(got) == 1 and "other-1" in got[0], got
    p.run("tap", "--type", "nonsense", code=2)
    talker.stop()


def a_reader_sees_everything_and_may_do_nothing(p):
    try:
        done = subprocess.run([TRIBUS, "--version"], capture_output=True, **AS_READER)
    except PermissionError:
        print("skip: another user: becoming one needs root, and a program he can read")
        return
    assert done.returncode == 0, done.stderr
    talker = Talker(p, price(1), price(2), price(3))
    got = [json.loads(line)["data"]["price"] for line in
           tap(p, "--json", "--count", "3", "--type", "price_update", **AS_READER)]
    assert got == [1, 2, 3], got
    done = subprocess.run([TRIBUS, "publish", price(4)], env=p.env, capture_output=True,
                          text=True, timeout=bus_platform.PATIENCE, **AS_READER)
    assert done.returncode == 1 and "may only look" in done.stderr, done.stderr
    talker.stop()


folder = Platform(settings=[f"agent.readers_group={GROUP}"])
os.chmod(folder.folder, 0o711)
with folder as platform:
    for test in (filters_choose_bus_type_and_engine,
                 a_reader_sees_everything_and_may_do_nothing):
        test(platform)
        print("passed:", test.__name__)
