"""Whether a server answers: the smallest question in each one's own protocol, so that a probe needs no client."""

from __future__ import annotations

import socket
import struct

from headrace.lab.ports import HOST

TIMEOUT_SECONDS = 2.0


def postgres(port: int) -> bool:
    """A session can be opened: the server has started, recovered and lets us in."""
    words = b"user\0postgres\0database\0postgres\0\0"
    hello = struct.pack(">ii", 8 + len(words), 196_608) + words
    return _ask(port, hello)[:1] == b"R"  # an Authentication message; E would say "starting up"


def valkey(port: int) -> bool:
    """It answers a ping; while it loads its data it would say so instead."""
    return _ask(port, b"PING\r\n").startswith(b"+PONG")


def kafka(port: int) -> bool:
    """A broker is registered and counts as alive: only then do the metadata name it."""
    request = struct.pack(
        ">hhihi", 3, 1, 1, -1, 0
    )  # Metadata, version 1, correlation 1, no client id, no topics
    answer = _ask(port, struct.pack(">i", len(request)) + request, whole=12)
    return len(answer) >= 12 and struct.unpack_from(">i", answer, 8)[0] > 0


def _ask(port: int, question: bytes, whole: int = 1) -> bytes:
    """The answer's beginning, at least `whole` bytes of it when all goes well; empty when nobody answers."""
    answer = b""
    try:
        with socket.create_connection((HOST, port), timeout=TIMEOUT_SECONDS) as connection:
            connection.sendall(question)
            while len(answer) < whole and (more := connection.recv(4096)):
                answer += more
    except OSError:
        return b""
    return answer
