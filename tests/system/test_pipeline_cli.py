#!/usr/bin/python3
"""The commands of `tribus pipeline` against a real agent with real compute hosts."""
import json
import os
import signal
import subprocess
import sys
import tempfile
import time

build = os.environ.get("TRIBUS_BUILD", "build/release")
source = os.environ.get("TRIBUS_SOURCE", ".")
tribus = os.path.join(build, "tribus")
folder = tempfile.mkdtemp(prefix="tribus-pipeline-")
socket = os.path.join(folder, "agent.sock")
started = []
QUIET = ["marketdata_bus.enabled=false", "engine_logic_bus.enabled=false",
         "neural_gpu_bus.enabled=false", "neural_host.enabled=false", "gpu_host.enabled=false",
         "marketdata_engine.enabled=false", "ml_engine.enabled=false",
         "risk_engine.enabled=false", "agent.socket=" + socket, "agent.metrics_port=0"]

LINE = """
pipeline: line
dims: {n: 16}
inputs: [{name: x, dtype: f32, shape: [n]}]
stages:
  - {name: a, domain: neural, operation: affine, params: {scale: 2},
     inputs: [{name: in, dtype: f32, shape: [n]}], outputs: [{name: out, dtype: f32, shape: [n]}]}
  - {name: b, domain: gpu, operation: affine, params: {offset: 1},
     inputs: [{name: in, dtype: f32, shape: [n]}], outputs: [{name: out, dtype: f32, shape: [n]}]}
edges: [{from: x, to: a.in}, {from: a.out, to: b.in}]
results: [b.out]
"""


def start(*words):
    log = open(os.path.join(folder, "log%d" % len(started)), "wb")
    p = subprocess.Popen(words, stdout=log, stderr=log)
    started.append(p)
    return p


def call(*words, code=0):
    p = subprocess.run([tribus, *words], capture_output=True, text=True, timeout=120)
    if p.returncode != code:
        sys.exit("%s gives %d, wanted %d\n%s%s" % (" ".join(words), p.returncode, code,
                                                  p.stdout, p.stderr))
    return p.stdout if code == 0 else p.stderr


def until(condition, what, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            sys.exit("not within %d s: %s" % (seconds, what))
        time.sleep(0.01)


def rows(text):
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def check_trace(text):
    """One run as Chrome trace JSON: what the format wants, the run around everything, waiting
    before computing and never at the same time, b after a."""
    trace = json.loads(text)
    assert trace["displayTimeUnit"] == "ns" and int(trace["otherData"]["run"]) > 0, trace
    events = trace["traceEvents"]
    lanes = {e["tid"]: e["args"]["name"] for e in events if e["ph"] == "M"}
    spans = [e for e in events if e["ph"] == "X"]
    assert {e["ph"] for e in events} == {"M", "X"} and len(lanes) == 3, lanes
    for e in spans:
        assert e["tid"] in lanes and e["dur"] >= 0 and e["pid"] == 1 and e["cat"], e
    run = [e for e in spans if e["cat"] == "run"]
    stages = {e["name"]: e for e in spans if e["cat"] in ("compute", "passed on")}
    assert len(run) == 1 and set(stages) == {"a", "b"}, spans
    for e in spans:
        assert e["ts"] >= run[0]["ts"] - 0.002, (e, run)
        assert e["ts"] + e["dur"] <= run[0]["ts"] + run[0]["dur"] + 0.002, (e, run)
    assert stages["b"]["ts"] >= stages["a"]["ts"] + stages["a"]["dur"] - 0.002, stages
    for lane in lanes:
        mine = sorted((e for e in spans if e["tid"] == lane), key=lambda e: e["ts"])
        for before, after in zip(mine, mine[1:]):
            assert before["ts"] + before["dur"] <= after["ts"] + 0.002, (before, after)


def main():
    path = os.path.join(folder, "line.yaml")
    with open(path, "w") as f:
        f.write(LINE)

    # mistakes come as one line with file and line, before anything is needed
    text = call("pipeline", "check", path)
    assert "line.yaml: good; takes" in text, text
    text = call("pipeline", "check", path, "--param", "b.slope=2", code=1)
    assert "stage b: affine has no param slope" in text and len(text.splitlines()) == 1, text
    text = call("pipeline", "check", "/nowhere.yaml", code=1)
    assert "/nowhere.yaml" in text and len(text.splitlines()) == 1, text
    text = call("pipeline", "run", path, "--socket", socket, code=3)
    assert len(text.splitlines()) == 1, text

    agent = start(os.path.join(build, "tribusd"), *[w for s in QUIET for w in ("--set", s)])
    until(lambda: os.path.exists(socket), "the agent's socket")
    start(tribus, "host", "--domain", "neural", "--name", "n1", "--socket", socket)
    gpu = start(tribus, "host", "--domain", "gpu", "--name", "g1", "--socket", socket)

    text = call("pipeline", "run", path, "--runs", "50", "--socket", socket)
    assert call("pipeline", "list", "--json", "--socket", socket) == "", "it is gone after"
    assert "zero-copy 100.0 %" in text and "by n1 on cpu" in text, text

    # one that stays for a while, to be looked at
    runner = start(tribus, "pipeline", "run", path, "--runs", "100000000", "--socket", socket)
    name = "run-%d" % runner.pid

    def finished():
        found = [r for r in rows(call("pipeline", "list", "--json", "--socket", socket))
                 if r["name"] == name]
        return found and found[0]["ready"] == 2 and found[0]["finished"] > 100
    until(finished, "a hundred runs")
    shown = rows(call("pipeline", "show", name, "--json", "--socket", socket))
    assert shown[0]["pipeline"] == name and shown[0]["zero_copy"] == 1.0, shown[0]
    assert [r["host"] for r in shown if "stage" in r] == ["n1", "g1"], shown
    assert [r["bytes_copied"] for r in shown if "from" in r] == [0, 0, 0], shown
    text = call("pipeline", "dot", name, "--socket", socket)
    assert text.startswith("digraph") and '"a" -> "b"' in text, text
    check_trace(call("pipeline", "trace", name, "--socket", socket))

    # a host dies: the run goes on with another one
    os.kill(gpu.pid, signal.SIGKILL)
    start(tribus, "host", "--domain", "gpu", "--name", "g2", "--socket", socket)

    def taken_over():
        shown = rows(call("pipeline", "show", name, "--json", "--socket", socket))
        return [r["host"] for r in shown if "stage" in r] == ["n1", "g2"]
    until(taken_over, "g2 takes the stage")
    before = shown[0]["finished"]
    until(lambda: rows(call("pipeline", "show", name, "--json", "--socket",
                            socket))[0]["finished"] > before + 100, "runs go on")

    # the agent dies and another one comes: nothing of the pipeline is lost
    agent.kill()
    agent.wait()
    start(os.path.join(build, "tribusd"), *[w for s in QUIET for w in ("--set", s)])

    def known_again():
        p = subprocess.run([tribus, "pipeline", "show", name, "--json", "--socket", socket],
                           capture_output=True, text=True, timeout=60)
        return p.returncode == 0 and rows(p.stdout)[0]["finished"] > before + 200
    until(known_again, "runs go on under the new agent")
    shown = rows(call("pipeline", "show", name, "--json", "--socket", socket))
    assert shown[0]["failed"] == 0, shown[0]

    call("pipeline", "stop", name, "--socket", socket)
    assert runner.wait(timeout=60) == 1  # it says that it was asked to
    assert call("pipeline", "show", name, "--socket", socket, code=1).count("\n") == 1


try:
    main()
finally:
    for p in reversed(started):
        if p.poll() is None:
            p.terminate()
            try:
                p.wait(timeout=60)
            except subprocess.TimeoutExpired:
                p.kill()
    for name in os.listdir(folder):
        os.unlink(os.path.join(folder, name))
    os.rmdir(folder)
print("ok")
