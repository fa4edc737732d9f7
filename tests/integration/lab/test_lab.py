"""The lab keeps its servers: started once, found again, ended without ever touching a stranger."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from headrace.lab import Lab, LabError, ServerStatus
from headrace.lab import ports as free_ports
from headrace.lab.postgres import Postgres
from headrace.lab.processes import Account, Process, start
from headrace.lab.programs import mirror_of_central
from tests.integration.lab.messages import create, read, send

QUICK = ("postgres", "valkey")


@pytest.fixture
def own(folder: Path) -> Lab:
    return Lab(folder)


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A process that the lab has not started."""
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()


def setting(own: Lab, name: str) -> str:
    """What PostgreSQL says about one of its settings."""
    server = own.servers["postgres"]
    assert isinstance(server, Postgres)
    return server.query(own.ports("postgres"), f"SHOW {name}")


def valkey(own: Lab, command: str) -> str:
    """One command and the first answer to it."""
    with socket.create_connection(("127.0.0.1", own.ports("valkey")["main"])) as connection:
        connection.sendall(f"{command}\r\n".encode())
        return connection.recv(4096).decode()


def pids(statuses: list[ServerStatus]) -> dict[str, int | None]:
    return {status.name: status.pid for status in statuses}


def test_up_again_changes_nothing(own: Lab) -> None:
    first = own.up(QUICK)
    assert all(status.ready for status in first)
    assert pids(own.up(QUICK)) == pids(first)
    assert pids(Lab(own.folder).status(QUICK)) == pids(first)


def test_many_at_once_start_one_of_each(folder: Path) -> None:
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: Lab(folder).up(QUICK), range(4)))
    assert all(pids(statuses) == pids(found[0]) for statuses in found)


def test_servers_outlive_whoever_started_them(folder: Path) -> None:
    program = (
        f"from pathlib import Path; from headrace.lab import Lab; Lab(Path({str(folder)!r})).up(['valkey'])"
    )
    subprocess.run([sys.executable, "-c", program], check=True, start_new_session=True)
    (status,) = Lab(folder).status(["valkey"])
    assert status.ready
    assert status.pid is not None
    assert os.getsid(status.pid) == status.pid  # of its own session: no terminal's end reaches it


def test_data_and_ports_stay_over_a_restart(own: Lab) -> None:
    before = own.up(QUICK)
    assert valkey(own, "SET kept 7") == "+OK\r\n"
    assert own.down() == list(QUICK)
    assert [status.pid for status in own.status(QUICK)] == [None, None]
    after = own.up(QUICK)
    assert [status.address for status in after] == [status.address for status in before]
    assert pids(after) != pids(before)
    assert valkey(own, "GET kept").endswith("7\r\n")


def test_up_starts_what_died_and_leaves_the_rest_alone(own: Lab) -> None:
    before = pids(own.up(QUICK))
    killed = own.process("postgres")
    assert killed is not None
    killed.kill()
    after = own.up(QUICK)
    assert all(status.ready for status in after)
    assert pids(after)["postgres"] != before["postgres"]
    assert pids(after)["valkey"] == before["valkey"]


def test_a_port_that_is_taken_meanwhile_is_given_up(own: Lab) -> None:
    own.up(["valkey"])
    taken = own.ports("valkey")["main"]
    own.down()
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", taken))
        other.listen()
        (status,) = own.up(["valkey"])
        assert status.ready
        assert status.port != taken


async def test_kafka_comes_back_on_other_ports_with_its_messages(own: Lab) -> None:
    (status,) = await asyncio.to_thread(own.up, ["kafka"])
    assert status.address is not None
    await create(status.address, "kept")
    await send(status.address, "kept", b"before")
    assert await read(status.address, "kept", 1) == [b"before"]
    await asyncio.to_thread(own.down)
    with contextlib.ExitStack() as others:
        for port in own.ports("kafka").values():
            other = others.enter_context(socket.socket())
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind(("127.0.0.1", port))
            other.listen()
        (after,) = await asyncio.to_thread(own.up, ["kafka"])
    assert after.address is not None
    assert after.address != status.address
    await send(after.address, "kept", b"after")
    assert await read(after.address, "kept", 1) == [b"after"]  # the group's position has come along


def test_ports_are_none_that_the_system_gives_to_outgoing_connections() -> None:
    with socket.socket() as outgoing:
        outgoing.bind(("127.0.0.1", 0))
        assert all(free_ports.choose(None) < 32_768 <= outgoing.getsockname()[1] for _ in range(50))


@pytest.mark.parametrize("born", ["long ago", None])
def test_a_stranger_with_a_servers_number_is_never_touched(
    own: Lab, stranger: subprocess.Popen[bytes], born: str | None
) -> None:
    own.up(["valkey"])
    own.down()
    record = own.folder / "valkey" / "server.json"
    told = json.loads(record.read_text())
    record.write_text(json.dumps({**told, "pid": stranger.pid, "born": str(born)}))
    assert [status.pid for status in own.status(["valkey"])] == [None]
    assert own.down() == []
    assert stranger.poll() is None
    assert own.up(["valkey"])[0].ready
    assert stranger.poll() is None


def test_a_zombie_does_not_live() -> None:
    child = subprocess.Popen(["sleep", "600"])
    process = Process.of(child.pid)
    assert process is not None
    assert process.alive
    process.kill()
    assert not process.alive  # and nobody has waited for it yet
    assert child.wait() == -signal.SIGKILL


def test_what_answers_nothing_is_not_ready(own: Lab) -> None:
    own.up(["valkey"])
    process = own.process("valkey")
    assert process is not None
    process.send(signal.SIGSTOP)
    (status,) = own.status(["valkey"])
    assert (status.pid, status.ready) == (process.pid, False)
    assert own.settings(["valkey"]) == {}
    assert own.down(["valkey"]) == ["valkey"]


def test_what_is_acknowledged_is_on_the_disk(own: Lab) -> None:
    own.up(QUICK)
    assert [setting(own, name) for name in ("fsync", "synchronous_commit", "full_page_writes")] == ["on"] * 3
    assert valkey(own, "CONFIG GET appendonly").endswith("yes\r\n")


def test_without_durability_a_kill_still_loses_nothing(folder: Path) -> None:
    own = Lab(folder, durable=False)
    own.up(QUICK)
    assert (setting(own, "fsync"), setting(own, "synchronous_commit")) == ("off", "on")
    assert valkey(own, "CONFIG GET appendonly").endswith("no\r\n")


def test_a_server_that_cannot_start_is_quoted(own: Lab) -> None:
    own.up(["postgres"])
    own.down()
    control = own.folder / "postgres" / "data" / "global" / "pg_control"
    kept = control.read_bytes()
    control.write_bytes(b"\0" * len(kept))
    with pytest.raises(LabError, match="postgres ended while it started") as caught:
        own.up(["postgres"])
    assert "database files are incompatible with server" in caught.value.message
    assert str(own.folder / "postgres" / "server.log") in (caught.value.hint or "")
    control.write_bytes(kept)
    assert own.up(["postgres"])[0].ready


def test_an_initdb_that_was_cut_off_is_done_again(own: Lab) -> None:
    cut = own.folder / "postgres" / "data.new"
    cut.mkdir(parents=True)
    (cut / "PG_VERSION").write_text("18\n")
    assert own.up(["postgres"])[0].ready
    assert not cut.exists()


def test_data_go_when_asked_to(own: Lab) -> None:
    own.up(QUICK)
    assert own.down(delete=True) == list(QUICK)
    assert [file.name for file in own.folder.iterdir()] == ["lab.lock"]
    assert Lab(own.folder / "never").down() == []


def test_a_damaged_record_is_named(own: Lab) -> None:
    own.up(["valkey"])
    own.down()
    record = own.folder / "valkey" / "server.json"
    record.write_text("{")
    with pytest.raises(LabError, match=str(record)):
        own.status()
    record.unlink()


def test_a_server_that_does_not_exist_is_refused(own: Lab) -> None:
    with pytest.raises(LabError, match="no mysql") as caught:
        own.up(["mysql", "valkey"])
    assert "kafka, postgres, valkey" in str(caught.value)
    assert own.status(["valkey"])[0].pid is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's server runs as another user")
def test_as_root_the_data_lie_where_nobody_can_go(folder: Path) -> None:
    folder.chmod(0o700)
    closed = Lab(folder)
    assert closed.up(["postgres"])[0].ready
    process = closed.process("postgres")
    assert process is not None
    assert Path(f"/proc/{process.pid}").stat().st_uid == Account.of("nobody").user
    places = closed.servers["postgres"].places()
    assert not (folder / "postgres" / "data").exists()
    assert (places[1] / "data" / "PG_VERSION").is_file()
    closed.down(delete=True)
    assert not places[1].exists()


def test_a_program_that_cannot_run_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "nothing"
    with pytest.raises(LabError, match=str(missing)):
        start([missing], folder=tmp_path, log=tmp_path / "log", environment={}, account=None)


MIRROR = "<mirror><id>m</id><mirrorOf>{}</mirrorOf><url>{}</url></mirror>"


@pytest.mark.parametrize(
    ("mirrors", "expected"),
    [
        ([("*", "https://all.example/maven")], "https://all.example/maven"),
        ([("internal,central", "https://one.example")], "https://one.example"),
        ([("external:*", "https://out.example")], "https://out.example"),
        ([("*,!central", "https://not.example")], None),
        ([("internal", "https://no.example"), ("central", "https://yes.example")], "https://yes.example"),
        ([], None),
    ],
)
def test_a_mirror_of_central_is_taken_from_mavens_settings(
    tmp_path: Path, mirrors: list[tuple[str, str]], expected: str | None
) -> None:
    body = "".join(MIRROR.format(*mirror) for mirror in mirrors)
    for space in ("", ' xmlns="http://maven.apache.org/SETTINGS/1.2.0"'):
        settings = tmp_path / "settings.xml"
        settings.write_text(f"<settings{space}><mirrors>{body}</mirrors></settings>")
        assert mirror_of_central(settings) == expected


@pytest.mark.parametrize("text", ["", "<settings>", "no xml"])
def test_settings_that_cannot_be_read_name_no_mirror(tmp_path: Path, text: str) -> None:
    settings = tmp_path / "settings.xml"
    assert mirror_of_central(settings) is None
    settings.write_text(text)
    assert mirror_of_central(settings) is None
