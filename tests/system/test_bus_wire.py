#!/usr/bin/env python3
"""Fabric and wire end to end: tribusd, tribus tap, tribus publish, redis-cli, python-redis."""
import json
import threading
import time

import bus_platform
from bus_platform import Platform, envelope, wait_for

bus_platform.need("redis-server", "redis-cli")
try:
    import redis
except ImportError:
    bus_platform.skip("no python3-redis")

ALERT = {"component": "test", "text": "look", "severity": "info"}
ENVELOPE = ["type", "data", "priority", "engine_type", "engine_instance", "bus_type",
            "timestamp_ns", "hardware_accelerated"]


def redis_cli_hears_what_is_published_here(p):
    heard = p.popen("redis-cli", "-p", str(p.ports["engine_logic"]), "psubscribe",
                    "nautilus-*")
    for _ in range(3):  # the confirmation
        heard.stdout.readline()
    time_limit = time.monotonic() + bus_platform.PATIENCE
    lines = []

    def read():
        for line in heard.stdout:
            lines.append(line.strip())

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    while not any(line.startswith("{") for line in lines):
        assert time.monotonic() < time_limit, lines
        p.publish("engine_logic", "system_alert", ALERT, priority="critical",
                  engine_type="risk", engine_instance="risk-8200")
    channel = lines[lines.index("pmessage") + 2]
    assert channel == "nautilus-engine_logic_bus-system_alert", lines
    got = json.loads(next(line for line in lines if line.startswith("{")))
    assert [k for k in ENVELOPE if k not in got] == [], got
    assert got["type"] == "system_alert" and got["priority"] == "critical"
    assert got["engine_type"] == "risk" and got["engine_instance"] == "risk-8200"
    assert got["bus_type"] == "engine_logic_bus" and got["hardware_accelerated"] is False
    assert got["data"]["text"] == "look" and abs(got["timestamp_ns"] - time.time_ns()) < 60e9
    heard.terminate()


def local_subscriber(p, *words):
    """A subscriber that asks for messages (tap only looks on)."""
    return p.popen(bus_platform.TRIBUS, "tap", "--json", "--ask", "--seconds", "30", *words)


def tap_hears_what_redis_cli_publishes(p):
    tap = local_subscriber(p, "--type", "risk_metric", "--count", "1")
    wait_for("the agent to subscribe", lambda: p.listeners("engine_logic", "risk_metric"))
    text = envelope("engine_logic", "risk_metric",
                    {"portfolio": "main", "confidence": 0.95, "value_at_risk": 0.0123,
                     "venue": "X"},
                    trace="abc")
    p.cli(p.ports["engine_logic"], "publish", "nautilus-engine_logic_bus-risk_metric", text)
    got = json.loads(tap.stdout.readline())
    assert got["data"]["value_at_risk"] == 0.0123 and got["engine_instance"] == "python-1", got
    assert got["data"]["venue"] == "X" and got["trace"] == "abc", got  # kept
    assert tap.wait(bus_platform.PATIENCE) == 0


def python_redis_joins_unchanged(p):
    client = redis.Redis(port=p.ports["engine_logic"])
    channel = "nautilus-engine_logic_bus-performance_metric"
    pubsub = client.pubsub()
    pubsub.subscribe(channel)
    assert pubsub.get_message(timeout=60)["type"] == "subscribe"
    tap = local_subscriber(p, "--type", "performance_metric", "--count", "200")
    wait_for("the agent to subscribe",
             lambda: p.listeners("engine_logic", "performance_metric") == 2)
    data = {"metric": "latency", "value": 1.5}
    for i in range(200):
        client.publish(channel, envelope("engine_logic", "performance_metric",
                                         dict(data, value=float(i))))
    values = [json.loads(tap.stdout.readline())["data"]["value"] for _ in range(200)]
    assert values == [float(i) for i in range(200)], values
    assert tap.wait(bus_platform.PATIENCE) == 0
    own = 0
    while own < 200:  # it hears itself through Redis, exactly once each
        message = pubsub.get_message(timeout=60)
        assert message is not None, own
        own += message["type"] == "message"
    first = wait_for("the bridge to listen", lambda: hear_local(p, pubsub))
    assert first["data"]["value"] == 7.0 and first["engine_type"] == "tool", first


def hear_local(p, pubsub):
    p.publish("engine_logic", "performance_metric", {"metric": "latency", "value": 7.0},
              engine_type="tool")
    message = pubsub.get_message(timeout=0.3)
    return json.loads(message["data"]) if message and message["type"] == "message" else None


def wrong_input_is_named_and_harms_nothing(p):
    out = p.run("publish", "{nonsense", code=1)
    assert "0 published, 1 refused" in out and "malformed JSON" in p.errors, p.errors
    p.run("publish", envelope("engine_logic", "nonsense", {}), code=1)
    assert "nonsense" in p.errors, p.errors
    half = json.loads(envelope("engine_logic", "system_alert", ALERT))
    del half["priority"]
    p.run("publish", json.dumps(half), code=1)
    assert "priority" in p.errors, p.errors
    p.run("publish", envelope("engine_logic", "system_alert", {"component": "x"}), code=1)
    assert "text" in p.errors or "severity" in p.errors, p.errors
    p.run("tap", "--type", "nonsense", code=2)
    p.run("tap", "--bus", "nonsense", code=2)

    tap = local_subscriber(p, "--type", "error_alert", "--count", "1")
    wait_for("the agent to subscribe", lambda: p.listeners("engine_logic", "error_alert"))
    channel = "nautilus-engine_logic_bus-error_alert"
    for text in ("", "no JSON", "[]", "{}", json.dumps(half), "x" * 100000,
                 envelope("engine_logic", "nonsense", {})):
        p.cli(p.ports["engine_logic"], "publish", channel, text)
    p.cli(p.ports["engine_logic"], "publish", channel,
          envelope("engine_logic", "error_alert", {"component": "c", "text": "good",
                                                   "severity": "error", "code": 1}))
    got = json.loads(tap.stdout.readline())
    assert got["data"]["text"] == "good", got
    assert f"dropped a message on {channel}" in p.log(), p.log()
    assert p.log().count("dropped a message") <= 3, p.log()


def counts_agree_end_to_end(p):
    tap = local_subscriber(p, "--type", "price_update", "--count", "5000")
    wait_for("the agent to subscribe", lambda: p.listeners("marketdata", "price_update"))
    lines = "\n".join(envelope("marketdata", "price_update",
                               {"symbol": "ABC", "price": i, "sequence": i})
                      for i in range(1, 5001))
    out = p.run("publish", text=lines)
    assert out == "5000 published, 0 refused\n", out
    prices = [json.loads(line)["data"]["price"] for line in tap.stdout]
    assert prices == list(range(1, 5001)), (len(prices), prices[:5])
    assert tap.wait(bus_platform.PATIENCE) == 0


def ends_without_a_trace(p):
    pid = p.agent.pid
    p.stop()
    assert p.agent.returncode == 0, p.log()
    for port in p.ports.values():
        assert not Platform.answers(port), f"redis on {port} outlived agent {pid}"


with Platform() as platform:
    for test in (redis_cli_hears_what_is_published_here, tap_hears_what_redis_cli_publishes,
                 python_redis_joins_unchanged, wrong_input_is_named_and_harms_nothing,
                 counts_agree_end_to_end, ends_without_a_trace):
        test(platform)
        print("passed:", test.__name__)
