"""`tribus doctor` names what is in the way, says how to mend it, and changes nothing."""
import json
import os
import socket
import subprocess
import sys

TRIBUS = os.path.join(os.environ.get("TRIBUS_BUILD", "build/release"), "tribus")


def doctor(*settings):
    args = [TRIBUS, "doctor", "--json"]
    for s in settings:
        args += ["--set", s]
    env = {**os.environ, "TRIBUS_SOCKET": "/nonexistent-folder/agent.sock"}
    run = subprocess.run(args, capture_output=True, text=True, timeout=60, env=env)
    return run.returncode, {r["subject"]: r for r in map(json.loads, run.stdout.splitlines())}


def main():
    with socket.socket() as taken, socket.socket() as free:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        free.bind(("127.0.0.1", 0))  # bound and not listening: nobody answers
        taken_port, free_port = taken.getsockname()[1], free.getsockname()[1]
        code, rows = doctor(f"marketdata_bus.port={taken_port}",
                            f"engine_logic_bus.port={free_port}",
                            f"neural_gpu_bus.port={free_port}", "neural_gpu_bus.spawn=false",
                            "redis.program=/nowhere/redis-server")
    assert code == 1
    assert {"kernel", "cores", "memory", "descriptors", "huge pages", "clock", "redis-server",
            "agent", "model runtime", "gpu"} <= rows.keys(), rows.keys()
    for row in rows.values():
        assert row["verdict"] in ("fine", "slow", "broken") and row["what"], row
    assert rows["marketdata bus"]["verdict"] == "broken"
    assert str(taken_port) in rows["marketdata bus"]["what"]
    assert rows["marketdata bus"]["mend"].startswith("ss ")
    assert rows["engine logic bus"]["verdict"] == "fine"
    assert rows["neural-gpu bus"]["verdict"] == "broken"
    assert rows["redis-server"] == {"subject": "redis-server", "verdict": "slow",
                                    "what": rows["redis-server"]["what"],
                                    "mend": "apt install redis-server"}
    assert "/nowhere/redis-server" in rows["redis-server"]["what"]
    code, rows = doctor("marketdata_bus.enabled=false", "engine_logic_bus.enabled=false",
                        "neural_gpu_bus.enabled=false", "agent.memory_mib=1048576")
    assert rows["marketdata bus"]["what"] == "switched off"
    assert rows["memory"]["verdict"] == "slow"
    assert rows["memory"]["mend"].startswith("tribus up --set agent.memory_mib=")
    return 0


if __name__ == "__main__":
    sys.exit(main())
