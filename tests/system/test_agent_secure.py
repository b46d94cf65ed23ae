"""redis.secure: one Redis user for every engine, and none of them may more than it needs."""
import os
import pathlib
import shutil
import socket
import sys
import tempfile
import time
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from test_agent_daemon import DAEMON, UP, Platform  # noqa: E402


class Client:
    """Just enough of the Redis protocol."""

    def __init__(self, port, user=None, password=None):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.file = self.sock.makefile("rb")
        if user is not None:
            self.signed_in = self.call("AUTH", user, password)

    def call(self, *words):
        data = b"*%d\r\n" % len(words)
        for w in words:
            data += b"$%d\r\n%s\r\n" % (len(w.encode()), w.encode())
        self.sock.sendall(data)
        return self.reply()

    def reply(self):
        line = self.file.readline().rstrip(b"\r\n").decode()
        kind, rest = line[0], line[1:]
        if kind == "$":
            return None if rest == "-1" else self.file.read(int(rest) + 2)[:-2].decode()
        if kind == "*":
            return [self.reply() for _ in range(int(rest))]
        return line


def refused(answer):
    return isinstance(answer, str) and answer.startswith("-NOPERM")


def users_of(folder):
    path = pathlib.Path(folder) / "redis.users"
    assert path.stat().st_mode & 0o777 == 0o600
    lines = [line.split() for line in path.read_text().splitlines() if line[0] != "#"]
    assert len(lines) == 14 and all(len(p) == 48 for _, p in lines), lines
    assert len({p for _, p in lines}) == 14
    return dict(lines)


def engines_may_do_what_they_need(p, users):
    market, logic, neural = p.ports[:3]
    nobody = Client(logic)
    assert nobody.call("PING").startswith("-NOAUTH")
    assert nobody.call("PUBLISH", "nautilus-engine_logic_bus-x", "{}").startswith("-NOAUTH")
    assert Client(logic, "risk", "wrong").signed_in.startswith("-WRONGPASS")
    assert Client(logic, "default", "").signed_in.startswith("-WRONGPASS")

    risk = Client(logic, "risk", users["risk"])
    assert risk.signed_in == "+OK"
    assert risk.call("PUBLISH", "nautilus-engine_logic_bus-risk_metric", "{}")[0] == ":"
    assert refused(risk.call("PUBLISH", "other", "{}"))
    assert risk.call("XADD", "nautilus-engine_logic_bus-order_request", "*", "m", "{}")
    for words in (("SET", "nautilus-engine_logic_bus-x", "1"), ("GET", "x"), ("KEYS", "*"),
                  ("CONFIG", "GET", "*"), ("FLUSHALL",), ("INFO",), ("ACL", "LIST"),
                  ("EVAL", "return 1", "0"), ("SHUTDOWN",), ("CLIENT", "LIST"),
                  ("XADD", "other", "*", "m", "{}"), ("DEL", "nautilus-engine_logic_bus-x")):
        assert refused(risk.call(*words)), words

    elsewhere = Client(market, "risk", users["risk"])
    assert elsewhere.signed_in == "+OK"
    assert refused(elsewhere.call("PUBLISH", "nautilus-marketdata_bus-price_update", "{}"))
    assert elsewhere.call("PSUBSCRIBE", "nautilus-*")[0] == "psubscribe"
    for pattern in ("nautilus-marketdata_bus-*",):
        other = Client(market, "risk", users["risk"])
        assert other.call("PSUBSCRIBE", pattern)[0] == "psubscribe"
    assert refused(Client(market, "risk", users["risk"]).call("SUBSCRIBE", "secret"))

    feed = Client(market, "marketdata", users["marketdata"])
    assert feed.call("PUBLISH", "nautilus-marketdata_bus-price_update", "{}") == ":2"
    assert refused(Client(neural, "marketdata", users["marketdata"]).call(
        "PUBLISH", "nautilus-neural_gpu_bus-ml_prediction", "{}"))


def bridge_is_signed_in(p):
    end = time.monotonic() + 60
    while True:
        with urllib.request.urlopen(f"http://127.0.0.1:{p.ports[3]}/metrics") as page:
            text = page.read().decode()
        if text.count("\ntribus_bridge_connected{") == 3 and \
                sum(f'tribus_bridge_connected{{bus="{b}"}} 1\n' in text
                    for b in ("marketdata_bus", "engine_logic_bus", "neural_gpu_bus")) == 3:
            return
        assert time.monotonic() < end, p.output()
        time.sleep(0.05)


def a_password_alone_is_demanded_by_the_servers(folder):
    p = Platform(folder, "redis.password=sesame").start()
    p.health(UP)
    bridge_is_signed_in(p)
    for port in p.ports[:3]:
        assert Client(port).call("PING").startswith("-NOAUTH")
        assert Client(port, "default", "wrong").signed_in.startswith("-WRONGPASS")
        assert Client(port, "default", "sesame").call("PUBLISH", "x", "y") == ":0"
    words = [safe_read(path) for path in pathlib.Path("/proc").glob("[0-9]*/cmdline")]
    servers = [w for w in words if w.startswith(b"redis-server")
               and str(p.ports[0]).encode() in w]
    assert len(servers) == 1, servers
    words = servers[0]
    assert b"sesame" not in words, "not where `ps` shows it"
    assert p.end() == 0
    p = Platform(folder, "redis.password=open sesame").start()
    assert p.process.wait(timeout=60) == 1
    assert "no spaces" in p.output(), p.output()
    p.log.close()


def safe_read(path):
    try:
        return path.read_bytes()
    except OSError:
        return b""


def main():
    if shutil.which("redis-server") is None or not DAEMON.exists():
        print("skip: needs redis-server and tribusd")
        return 77
    os.environ.pop("TRIBUS_SOCKET", None)
    with tempfile.TemporaryDirectory(prefix="tribus-") as folder:
        p = Platform(folder, "redis.secure=true").start()
        p.health(UP)
        users = users_of(folder)
        for name in UP:
            assert (pathlib.Path(folder) / f"{name}.acl").stat().st_mode & 0o777 == 0o600
        bridge_is_signed_in(p)
        engines_may_do_what_they_need(p, users)
        assert p.end() == 0
        p.check_nothing_left()
        p = Platform(folder, "redis.secure=true").start()  # passwords stay the same
        p.health(UP)
        assert users_of(folder) == users
        assert p.end() == 0
        a_password_alone_is_demanded_by_the_servers(folder)
        (pathlib.Path(folder) / "redis.users").chmod(0o644)
        p = Platform(folder, "redis.secure=true").start()
        assert p.process.wait(timeout=60) == 1
        assert "others can reach it" in p.output()
        p.log.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
