"""Free ports on loopback, below those that the system hands out by itself."""

from __future__ import annotations

import random
import socket
from collections.abc import Container
from pathlib import Path

from headrace.lab.errors import LabError

HOST = "127.0.0.1"
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def choose(previous: int | None, taken: Container[int] = ()) -> int:
    """The previous port when it is free, else another one.

    Not port 0's choice: while a server restarts, the system would give its port to the next outgoing connection, and a
    client that tries to reconnect on loopback can even be connected to itself. Raises LabError when all are taken.
    """
    if previous is not None and previous not in taken and is_free(previous):
        return previous
    low, high = 15_000, _first_ephemeral()
    for port in random.sample(range(low, high), high - low):
        if port not in taken and is_free(port):
            return port
    raise LabError(f"No port on {HOST} between {low} and {high} is free.")


def is_free(port: int) -> bool:
    """Whether a server could listen there. Connections that are still closing do not count, as for the servers."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def _first_ephemeral() -> int:
    try:
        return max(int(_RANGE.read_text().split()[0]), 16_000)
    except (OSError, ValueError):
        return 32_768
