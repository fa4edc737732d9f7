"""Which addresses are public, and what opens others."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from headrace.runners.http_policy import AddressRefused, HttpPolicy, is_public


@pytest.mark.parametrize(
    "address", ["93.184.216.34", "1.1.1.1", "2606:4700::1111", "64:ff9b::101:101", "::ffff:1.1.1.1"]
)
def test_public(address: str) -> None:
    assert is_public(ip_address(address))
    HttpPolicy().check("example.com", address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "169.254.169.254",
        "100.100.100.200",
        "168.63.129.16",
        "0.0.0.0",
        "224.0.0.1",
        "240.0.0.1",
        "::1",
        "::",
        "fe80::1",
        "fd00::1",
        "ff02::1",
        "::ffff:10.0.0.1",
        "::10.0.0.1",
        "64:ff9b::a00:1",
        "64:ff9b:1::1",
        "2002:a00:1::",
        "2001:db8::1",
        "fec0::1",
        "100::1",
    ],
)
def test_not_public(address: str) -> None:
    assert not is_public(ip_address(address))
    with pytest.raises(AddressRefused, match="HEADRACE_HTTP_ALLOW"):
        HttpPolicy().check("example.com", address)


@pytest.mark.parametrize(
    ("allow", "host", "address", "permitted"),
    [
        ("10.1.0.0/16", "x", "10.1.2.3", True),
        ("10.1.0.0/16", "x", "10.2.2.3", False),
        ("10.1.0.0/16", "x", "::ffff:10.1.2.3", True),
        ("10.1.2.3", "x", "10.1.2.3", True),
        ("[fd00::1]", "x", "fd00::1", True),
        ("fd00::/8", "x", "fd12::1", True),
        ("intranet.example", "intranet.example", "10.0.0.1", True),
        ("Intranet.Example", "INTRANET.example.", "10.0.0.1", True),
        ("intranet.example", "x.intranet.example", "10.0.0.1", False),
        ("*.corp.example", "a.b.corp.example", "10.0.0.1", True),
        (".corp.example", "evilcorp.example", "10.0.0.1", False),
    ],
)
def test_allowed(allow: str, host: str, address: str, permitted: bool) -> None:
    policy = HttpPolicy([allow, ""])
    if permitted:
        policy.check(host, address)
    else:
        with pytest.raises(AddressRefused):
            policy.check(host, address)


def test_loopback_alone() -> None:
    policy = HttpPolicy(allow_loopback=True)
    for address in ("127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"):
        policy.check("localhost", address)
    for address in ("0.0.0.0", "10.0.0.1", "169.254.169.254"):
        with pytest.raises(AddressRefused):
            policy.check("localhost", address)


@pytest.mark.parametrize("entry", ["http://x", "10.0.0.0/99", "a b", "host:80"])
def test_what_is_neither_name_nor_network(entry: str) -> None:
    with pytest.raises(ValueError, match="HEADRACE_HTTP_ALLOW"):
        HttpPolicy([entry])


def test_the_leave_to_call_this_machine_is_told_once() -> None:
    told: list[str] = []
    policy = HttpPolicy(allow_loopback=True, told=told.append)
    for _ in range(3):
        policy.check("localhost", "127.0.0.1")
    policy.check("example.org", "93.184.215.14")
    assert len(told) == 1
    assert "HEADRACE_HTTP_ALLOW" in told[0]
    HttpPolicy(("127.0.0.0/8",), allow_loopback=True, told=told.append).check("localhost", "127.0.0.1")
    assert len(told) == 1
