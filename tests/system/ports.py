"""Ports of the loopback for servers that a test starts.

Not ones the kernel picks: between our look and the server's bind it could give the same port
to a connection that somebody opens. Those come from above 32768, ours from below.
"""
import random
import socket


def free_ports(count):
    choice = random.SystemRandom()
    ports = []
    while len(ports) < count:
        port = choice.randrange(10000, 32000)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in ports:
            ports.append(port)
    return ports


def free_port():
    return free_ports(1)[0]
