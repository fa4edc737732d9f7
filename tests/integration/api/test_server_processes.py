"""`headrace dev` and `headrace api` as processes: what they say, how they end, what they refuse, files that change."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.api import HELLO, ROOT, LiveApi, serving
from tests.support.waiting import PATIENCE, eventually

SECRET = "a long secret that nobody could guess, 0123456789"


def command(folder: Path, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
    return subprocess.run(
        [sys.executable, "-m", "headrace.cli.main", *words],
        cwd=folder,
        env={**environment, "HEADRACE_HOME": str(folder / "home"), **settings},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


@pytest.fixture
def flows(tmp_path: Path) -> Path:
    folder = tmp_path / "flows"
    folder.mkdir()
    (folder / "hello.yaml").write_text(HELLO)
    return folder


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveApi]:
    """One `headrace dev` for tests that leave it as it was."""
    folder = tmp_path_factory.mktemp("shared")
    (folder / "flows").mkdir()
    (folder / "flows" / "hello.yaml").write_text(HELLO)
    with serving(folder, "dev", "flows") as live:
        yield live


def ran(live: LiveApi, workflow: str) -> object:
    """The output of a new run."""
    with live.client() as client:
        started = client.post(f"{ROOT}/workflows/{workflow}/runs", json={})
        assert started.status_code == 202, started.text
        ended = client.get(f"{started.headers['location']}?wait=60s").json()
        assert ended["state"] == "succeeded", ended
        return ended["output"]


def versions(live: LiveApi, workflow: str) -> int:
    with live.client() as client:
        answer = client.get(f"{ROOT}/workflows/{workflow}/versions")
        return len(answer.json()["items"]) if answer.status_code == 200 else 0


def test_dev_runs_what_is_in_the_folder_and_follows_its_files(flows: Path, tmp_path: Path) -> None:
    (flows / "broken.yaml").write_text("workflow: broken\ntasks: {a: {depends_on: b, noop: {}}}\n")
    inner = flows / "more"
    inner.mkdir()
    (inner / "words.py").write_text("def word():\n    return 'one'\n")
    (inner / "said.yaml").write_text(
        "workflow: said\ntasks:\n  say: {python: 'words:word'}\noutput: ${{ tasks.say.output }}\n"
    )
    with serving(tmp_path, "dev", str(flows)) as live:
        assert "broken.yaml" in live.said
        assert "hello, said" in live.said
        assert ran(live, "hello") == {"hello": "world"}
        assert ran(live, "said") == "one"  # its module lies beside it
        (inner / "words.py").write_text("def word():\n    return 'another'\n")
        eventually(lambda: ran(live, "said") == "another", "the module was never read again")
        (flows / "hello.yaml").write_text(HELLO.replace("world", "moon"))
        eventually(lambda: versions(live, "hello") == 2, lambda: live.said)
        assert ran(live, "hello") == {"hello": "moon"}
        (flows / "broken.yaml").write_text("workflow: mended\ntasks:\n  a: {noop: {}}\n")
        eventually(lambda: versions(live, "mended") == 1, lambda: live.said)
        assert live.said.count('task "a" waits for "b"') == 1
        assert live.end(signal.SIGINT) == 0
    assert "Traceback" not in live.said


def test_a_run_that_was_cut_off_goes_on(flows: Path, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    (flows / "waits.yaml").write_text(
        f"workflow: waits\ntasks:\n  wait: {{shell: 'until [ -e {flag} ]; do sleep 0.02; done'}}\n"
    )
    with serving(tmp_path, "dev", str(flows)) as live:
        with live.client() as client:
            where = client.post(f"{ROOT}/workflows/waits/runs", json={}).headers["location"]
            eventually(lambda: client.get(where).json()["state"] == "running", "it never began")
        assert live.end(signal.SIGKILL) == -signal.SIGKILL
    flag.touch()
    with serving(tmp_path, "dev", str(flows)) as live, live.client() as client:
        assert client.get(f"{where}?wait=60s").json()["state"] == "succeeded"


def test_streams_do_not_hold_up_the_end(live_api: LiveApi) -> None:
    began, ended = threading.Event(), threading.Event()

    def listen() -> None:
        with live_api.client() as client, client.stream("GET", f"{ROOT}/events") as stream:
            assert stream.status_code == 200
            began.set()
            for _ in stream.iter_raw():
                pass
        ended.set()

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    assert began.wait(PATIENCE)
    with live_api.client() as kept:  # and so does no connection that is kept open
        assert kept.get("/health/live").status_code == 200
        assert live_api.end() == 0
    assert ended.wait(PATIENCE)


def test_a_port_that_is_taken_is_said_at_once(shared: LiveApi, tmp_path: Path) -> None:
    done = command(tmp_path, "dev", ".", "--port", str(shared.port))
    assert done.returncode == 3
    assert str(shared.port) in done.stderr
    assert "--port" in done.stderr


def test_a_home_has_one_owner(shared: LiveApi) -> None:
    done = command(shared.folder, "dev", "flows", "--port", "0")
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "settings", "says"),
    [
        ([], {}, "HEADRACE_SECRET"),
        ([], {"HEADRACE_SECRET": "short"}, "HEADRACE_SECRET"),
        ([], {"HEADRACE_SECRET": "x" * 64}, "HEADRACE_SECRET"),
        (["--no-auth", "--host", "0.0.0.0"], {}, "127.0.0.1"),
        (["--no-auth", "--host", "::"], {}, "127.0.0.1"),
        (["--no-auth", "--host", "192.0.2.1"], {"HEADRACE_SECRET": SECRET}, "127.0.0.1"),
    ],
)
def test_what_would_leave_it_open_is_not_started(
    tmp_path: Path, words: list[str], settings: dict[str, str], says: str
) -> None:
    done = command(tmp_path, "api", "--port", "0", *words, **settings)
    assert done.returncode == 2
    assert says in done.stderr
    assert not (tmp_path / "home").exists()


def test_the_api_beside_a_process_that_decides(shared: LiveApi) -> None:
    """Two processes on one file: what one accepts, the other runs; strangers are asked who they are."""
    with serving(shared.folder, "api", HEADRACE_SECRET=SECRET) as beside, beside.client() as client:
        assert client.get(f"{ROOT}/runs").status_code == 401
        assert client.get("/health/ready").json() == {"status": "ok"}
    with serving(shared.folder, "api", "--no-auth") as beside:
        assert ran(beside, "hello") == {"hello": "world"}
        assert beside.end() == 0


def test_a_slow_client_does_not_hold_up_the_others(shared: LiveApi) -> None:
    held: list[socket.socket] = []
    try:
        for _ in range(300):
            one = socket.create_connection(("127.0.0.1", shared.port))
            one.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nX: ")
            held.append(one)
        with shared.client() as client:
            for _ in range(20):
                assert client.get("/health/live").status_code == 200
        assert ran(shared, "hello") == {"hello": "world"}
    finally:
        for one in held:
            one.close()


@pytest.fixture
def description(shared: LiveApi) -> Iterator[bytes]:
    with shared.client() as client:
        yield client.get("/schema/openapi.json").content


def test_the_description_is_openapi(description: bytes) -> None:
    """A loader that judges what it loads takes it."""
    import schemathesis

    loaded = schemathesis.openapi.from_dict(json.loads(description))
    loaded.validate()
    assert len(list(loaded.get_all_operations())) > 40
