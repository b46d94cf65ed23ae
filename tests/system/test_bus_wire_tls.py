#!/usr/bin/env python3
"""The wire over TLS, with real servers and certificates of our own; and what is refused."""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

import bus_platform
from bus_platform import Platform, envelope, free_port, wait_for

bus_platform.need("redis-server", "redis-cli", "openssl")
STREAM = "nautilus-engine_logic_bus-order_request"
ONE_BUS = ["marketdata_bus.enabled=false", "neural_gpu_bus.enabled=false"]


class Certificates:
    """A CA and what it signed: a good certificate, an expired one, one of another name."""
    EC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        for ca in ("ca", "other"):
            self.openssl("req", "-x509", *self.EC, "-days", "30",
                         "-subj", f"/CN=tribus test {ca}", "-keyout", self.file(ca, "key"),
                         "-out", self.file(ca))
        self.sign("good", "IP:127.0.0.1,DNS:localhost", "30")
        self.sign("expired", "IP:127.0.0.1", "-1")
        self.sign("elsewhere", "DNS:redis.example", "30")
        self.sign("stranger", "IP:127.0.0.1", "30", ca="other")

    def file(self, name, kind="pem"):
        return str(self.folder / f"{name}.{kind}")

    def openssl(self, *words):
        done = subprocess.run(["openssl", *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def sign(self, name, names, days, ca="ca"):
        extra = self.folder / "extra.cnf"
        extra.write_text(f"subjectAltName={names}\n")
        self.openssl("req", *self.EC, "-subj", f"/CN={name}",
                     "-keyout", self.file(name, "key"), "-out", self.file(name, "csr"))
        self.openssl("x509", "-req", "-in", self.file(name, "csr"), "-CA", self.file(ca),
                     "-CAkey", self.file(ca, "key"), "-CAcreateserial", "-days", days,
                     "-extfile", str(extra), "-out", self.file(name))

    def settings(self, ca="ca", cert="good"):
        words = ["redis.tls=true", f"redis.tls_ca={self.file(ca)}"]
        if cert:
            words += [f"redis.tls_cert={self.file(cert)}",
                      f"redis.tls_key={self.file(cert, 'key')}"]
        return words

    def cli(self, port, *words):
        return Platform.cli(port, "--tls", "--cacert", self.file("ca"), "--cert",
                            self.file("good"), "--key", self.file("good", "key"), *words)


class Server:
    """A server of one bus; cert None: a plain one."""

    def __init__(self, certs, cert="good"):
        self.certs, self.cert, self.port = certs, cert, free_port()

    def __enter__(self):
        words = ["--port", str(self.port)]
        if self.cert:
            words = ["--port", "0", "--tls-port", str(self.port), "--tls-cert-file",
                     self.certs.file(self.cert), "--tls-key-file",
                     self.certs.file(self.cert, "key"), "--tls-ca-cert-file",
                     self.certs.file("ca")]
        self.process = subprocess.Popen(
            ["redis-server", "--save", "", "--bind", "127.0.0.1", *words],
            stdout=subprocess.PIPE, text=True, cwd=self.certs.folder)
        for line in self.process.stdout:
            if "Ready to accept connections" in line:
                return self
        raise AssertionError("the server ended")

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def joined(certs, server, settings):
    """A platform that uses server."""
    ports = {bus: server.port for bus in bus_platform.BUSES}
    return Platform(ports=ports, settings=ONE_BUS + settings, spawn=False, wait=False)


def both_directions_and_orders(p, cli, port):
    tap = p.popen(bus_platform.TRIBUS, "tap", "--json", "--ask", "--type", "error_alert",
                  "--count", "1", "--seconds", str(bus_platform.PATIENCE))
    channel = "nautilus-engine_logic_bus-error_alert"
    wait_for("the agent to subscribe",
             lambda: cli(port, "pubsub", "numsub", channel).split()[1:] == ["1"])
    cli(port, "publish", channel, envelope(
        "engine_logic", "error_alert",
        {"component": "c", "text": "back", "severity": "error", "code": 1}))
    assert json.loads(tap.stdout.readline())["data"]["text"] == "back"
    lines = "\n".join(envelope("engine_logic", "order_request",
                               {"order": f"o-{i}", "symbol": "ABC", "side": "buy",
                                "order_type": "market", "qty": 1}) for i in range(2000))
    p.run("publish", text=lines)  # comes back when they are stored
    assert cli(port, "xlen", STREAM).strip() == "2000", cli(port, "xlen", STREAM)


def servers_started_here_speak_tls(certs):
    with Platform(settings=certs.settings(), wait=False) as p:
        port = p.ports["engine_logic"]
        wait_for("the server", lambda: certs.cli(port, "ping").strip() == "PONG")
        both_directions_and_orders(p, certs.cli, port)
        assert not Platform.answers(port)
        for bus in bus_platform.BUSES:
            wait_for(f"the server of {bus}",
                     lambda bus=bus: certs.cli(p.ports[bus], "ping").strip() == "PONG")
        words = [w for s in certs.settings() for w in ("--set", s)]
        out = subprocess.run([bus_platform.TRIBUS, "doctor", *p.words, *words], env=p.env,
                             capture_output=True, text=True, check=False).stdout
        assert f"a Redis server answers at 127.0.0.1:{port}" in out, out
    print("passed: servers started here speak TLS")


def a_server_of_ones_own_speaks_tls(certs):
    with Server(certs) as server, joined(certs, server, certs.settings()) as p:
        both_directions_and_orders(p, certs.cli, server.port)
    with Server(certs, "elsewhere") as server, \
            joined(certs, server, certs.settings() + ["redis.tls_name=redis.example"]) as p:
        wait_for("a connection", lambda:
                 f"using the server that answers at 127.0.0.1:{server.port}" in p.log())
    with Server(certs, "elsewhere") as server, \
            joined(certs, server, certs.settings() + ["redis.tls_check_name=false"]) as p:
        wait_for("a connection", lambda:
                 f"using the server that answers at 127.0.0.1:{server.port}" in p.log())
    print("passed: a server of one's own speaks TLS")


def refused(certs, cert, settings, *texts):
    """The log says what is wrong, once for the wire; local traffic goes on."""
    with Server(certs, cert) as server, joined(certs, server, settings) as p:
        start = f"Engine Logic bus: redis at 127.0.0.1:{server.port}: "
        wait_for(f"the line {texts[0]}", lambda: start in p.log())
        lines = [line for line in p.log().splitlines() if start in line]
        for text in texts:
            assert text in lines[0], (text, lines)
        assert len(lines) == 1, lines
        p.publish("engine_logic", "system_alert",
                  {"component": "test", "text": "local", "severity": "info"})
        print("passed:", lines[0][lines[0].index(start) + len(start):])


def main():
    folder = tempfile.mkdtemp(prefix="tribus tls ")
    try:
        certs = Certificates(folder)
        servers_started_here_speak_tls(certs)
        a_server_of_ones_own_speaks_tls(certs)
        refused(certs, "good", certs.settings(ca="other"), "TLS: the server's certificate",
                "redis.tls_ca")
        refused(certs, "stranger", certs.settings(), "TLS: the server's certificate",
                "redis.tls_ca")
        refused(certs, "expired", certs.settings(), "has expired", "renew it")
        refused(certs, "elsewhere", certs.settings(), "mismatch", "redis.tls_name")
        refused(certs, None, certs.settings(), "plain", "redis.tls: false")
        refused(certs, "good", [], "with TLS", "redis.tls: true")
        refused(certs, "good", certs.settings(cert=None), "redis.tls_cert")
        refused(certs, "good", certs.settings(cert="stranger"), "redis.tls_cert")
        refused(certs, "good", certs.settings(ca="nowhere"),
                f"redis.tls_ca: {certs.file('nowhere')}: No such file")
        refused(certs, "good", certs.settings()[:-1] + [f"redis.tls_key={certs.file('ca', 'key')}"],
                "redis.tls_key", "no private key (PEM) of the certificate")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


main()
