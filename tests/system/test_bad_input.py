#!/usr/bin/env python3
"""Wrong input gives one clear line and a non-zero exit, and harms nothing that runs."""
import json
import os
import pathlib
import signal
import socket
import subprocess
import zipfile

import redis

from platform_fixture import SOURCE, Platform, check, wait_for


def one_line(done, *words, code=1):
    check(done.returncode == code, f"exit {done.returncode}, wanted {code}: {done.stderr}")
    lines = [line for line in done.stderr.splitlines() if line]
    check(len(lines) == 1, f"not one line: {done.stderr}")
    for word in words:
        check(word in lines[0], f"'{word}' is not in: {lines[0]}")


def wrong_settings_name_file_line_and_key():
    with Platform() as platform:
        path = pathlib.Path(platform.folder) / "p.yaml"
        path.write_text("agent:\n  memory_mib: 64\nml_engine:\n  asets: 3\n")
        one_line(platform.run("up", "--config", str(path)), f"{path}:4", "asets")
        path.write_text("agent:\n  memory_mib: lots\n")
        one_line(platform.run("up", "--config", str(path)), f"{path}:2", "memory_mib", "lots")
        one_line(platform.run("up", "--config", "/nowhere.yaml"), "/nowhere.yaml", "no such")
        one_line(platform.run("up", "--set", "agent.colour=red"), "agent.colour")


def wrong_usage_exits_2_and_nothing_running_exits_3():
    with Platform() as platform:
        one_line(platform.run("upp"), "upp", "up", code=2)
        one_line(platform.run("up", "--colour"), "--colour", code=2)
        one_line(platform.run("down"), "nothing is running", code=3)
        one_line(platform.run("status"), "nothing is running", code=3)
        check(json.loads(platform.run("status", "--json").stdout) == {"status": "not running"},
              "status --json of nothing")


def second_agent_names_the_first():
    with Platform() as platform:
        platform.up()
        pid = platform.status()["pid"]
        one_line(platform.run("up", settings=True), "runs already", str(pid))
        check(platform.status()["pid"] == pid, "the first one was disturbed")


def port_taken_by_something_else_is_named_and_the_rest_goes_on():
    with Platform() as platform:
        taken = socket.socket()
        taken.bind(("127.0.0.1", platform.ports["engine_logic_bus"]))
        taken.listen()
        done = platform.run("up", settings=True)
        check(done.returncode == 0, f"up: {done.stderr}{platform.logs()}")
        check(str(platform.ports["engine_logic_bus"]) in done.stderr, done.stderr)
        states = {c["name"]: c["state"] for c in platform.status()["children"]}
        check(states["risk"] == "up", f"{states}")
        taken.close()


def answers(client):
    try:
        return client.ping()
    except redis.exceptions.ConnectionError:
        return False


def running_server_is_used_instead_of_a_new_one():
    with Platform() as platform:
        port = platform.ports["marketdata_bus"]
        server = subprocess.Popen(["redis-server", "--port", str(port), "--save", "",
                                   "--bind", "127.0.0.1"], stdout=subprocess.DEVNULL)
        client = redis.Redis(port=port)
        wait_for(lambda: answers(client), 60, "redis-server")
        platform.up()
        states = {c["port"]: c["state"] for c in platform.status()["children"] if c["port"]}
        check(states[port] == "external", f"{states}")
        platform.down()
        check(client.ping(), "the server that was running already was ended")
        server.terminate()
        server.wait()


def without_redis_server_the_fabric_goes_on_with_a_warning():
    with Platform(redis__program="no-such-redis-server") as platform:
        done = platform.run("up", settings=True)
        check(done.returncode == 0, f"up: {done.stderr}{platform.logs()}")
        check("no-such-redis-server" in done.stderr, done.stderr)
        check(len(done.stderr.splitlines()) == 3, f"one line a server: {done.stderr}")
        tap = platform.run("tap", "--bus", "marketdata", "--count", "3", "--json")
        check(tap.returncode == 0 and len(tap.stdout.splitlines()) == 3, tap.stderr)


def memory_limit_that_is_too_small_is_named():
    with Platform(agent__memory_mib=1) as platform:
        done = platform.run("up", settings=True)
        check(done.returncode == 1, f"exit {done.returncode}: {done.stderr}")
        check("memory" in done.stderr, done.stderr)
        check(not platform.processes(), f"left behind: {platform.processes()}")


def wrong_model_or_feed_ends_that_engine_with_the_reason():
    cases = (("ml_engine__pipeline", "/nowhere.yaml", "/nowhere.yaml"),
             ("marketdata_engine__feed", "lobster:/nowhere.zip", "/nowhere.zip"),
             ("marketdata_engine__feed", "tea:leaves", "tea"))
    for key, value, word in cases:
        with Platform(**{key: value}) as platform:
            done = platform.run("up", settings=True)
            check(done.returncode == 1, f"exit {done.returncode}: {done.stderr}")
            check(word in done.stderr, f"'{word}' is not in: {done.stderr}{platform.logs()}")
            check(not platform.processes(), f"left behind: {platform.processes()}")


def wrong_model_files_are_named_with_what_is_wrong():
    text = (SOURCE / "pipelines" / "ml-risk.yaml").read_text()
    good = str((SOURCE / "models" / "forecast.onnx").resolve())
    with Platform() as platform:
        folder = pathlib.Path(platform.folder)
        (folder / "words.onnx").write_text("these are words, not a model")
        cases = ((text.replace("../models/forecast.onnx", "missing.onnx"), "missing.onnx"),
                 (text.replace("../models/forecast.onnx", "words.onnx"), "words.onnx"),
                 (text.replace("../models/forecast.onnx", good)
                  .replace("window: 32 ", "window: 16 "), "16"))
        for number, (pipeline, word) in enumerate(cases):
            path = folder / f"p{number}.yaml"
            path.write_text(pipeline)
            platform.settings["ml_engine.pipeline"] = path
            done = platform.run("up", settings=True)
            check(done.returncode == 1, f"exit {done.returncode}: {done.stderr}")
            check(word in done.stderr and "ml: " in done.stderr, done.stderr + platform.logs())
            check(not platform.processes(), f"left behind: {platform.processes()}")


def damaged_lobster_zip_is_an_error_with_its_name():
    with Platform() as platform:
        path = pathlib.Path(platform.folder) / "bad.zip"
        path.write_bytes(b"PK\3\4 but nothing more")
        one_line(platform.run("demo", "--feed", f"lobster:{path}", "--seconds", "1",
                              settings=True), str(path))
        with zipfile.ZipFile(path, "w") as z:
            z.writestr("readme.txt", "no market in here")
        one_line(platform.run("demo", "--feed", f"lobster:{path}", "--seconds", "1",
                              settings=True), str(path))


def bad_messages_on_the_wire_harm_nobody():
    with Platform() as platform:
        platform.up()
        client = redis.Redis(port=platform.ports["engine_logic_bus"])
        channel = "nautilus-engine_logic_bus-system_alert"
        for text in ("{", "[]", "{}", '{"type":"tea"}', '{"type":"system_alert"}',
                     '{"type":"system_alert","data":7}', "\0\xff", "x" * 100000):
            client.publish(channel, text)
        client.publish("nautilus-engine_logic_bus-tea", "{}")
        tap = platform.run("tap", "--type", "engine_health", "--count", "4", "--json")
        check(tap.returncode == 0 and len(tap.stdout.splitlines()) == 4, tap.stderr)
        states = {c["name"]: c for c in platform.status()["children"]}
        check(all(c["restarts"] == 0 for c in states.values()), f"{states}")


def signals_at_any_moment_leave_nothing_behind():
    for delay, number in ((0.0, signal.SIGINT), (0.15, signal.SIGTERM), (0.6, signal.SIGINT),
                          (1.5, signal.SIGTERM), (3.0, signal.SIGINT)):
        with Platform() as platform:
            child = platform.start("demo", "--seconds", "30", "--json", settings=True)
            if delay > 0:
                try:
                    child.wait(delay)
                except subprocess.TimeoutExpired:
                    pass
            os.kill(child.pid, number)
            child.communicate(timeout=150)
            wait_for(lambda: not platform.processes(), 60,
                     f"processes end after {number!r} at {delay} s: {platform.processes()}")
            sockets = list(pathlib.Path(platform.folder).rglob("*.sock"))
            check(not sockets, f"sockets left: {sockets}")


wrong_settings_name_file_line_and_key()
wrong_usage_exits_2_and_nothing_running_exits_3()
second_agent_names_the_first()
port_taken_by_something_else_is_named_and_the_rest_goes_on()
running_server_is_used_instead_of_a_new_one()
without_redis_server_the_fabric_goes_on_with_a_warning()
memory_limit_that_is_too_small_is_named()
wrong_model_or_feed_ends_that_engine_with_the_reason()
wrong_model_files_are_named_with_what_is_wrong()
damaged_lobster_zip_is_an_error_with_its_name()
bad_messages_on_the_wire_harm_nobody()
signals_at_any_moment_leave_nothing_behind()
