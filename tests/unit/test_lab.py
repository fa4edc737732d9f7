"""What the lab tells its servers."""

from __future__ import annotations

import base64
import string
import uuid

import pytest

from headrace.lab.kafka import cluster_id


@pytest.mark.parametrize("first", [0x00, 0x7F, 0x80, 0xF8, 0xFB, 0xFF])
def test_a_cluster_id_is_no_option(first: int) -> None:
    """A beginning of 0xF8 to 0xFB would be a dash."""
    drawn = uuid.UUID(bytes=bytes([first]) + b"\xff" * 15)
    name = cluster_id(drawn)
    assert name[0] in string.ascii_letters
    assert base64.urlsafe_b64decode(f"{name}==")[1:] == drawn.bytes[1:]
    assert len(name) == 22
