"""`headrace lab up|down|status`: real servers on this machine, and the settings that use them."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from headrace.cli.failure import Status, Stop
from headrace.cli.output import print_json, print_table, say
from headrace.cli.settings import load_settings
from headrace.cli.where import prepare
from headrace.lab import NAMES, Lab, LabError, ServerStatus

Json = Annotated[bool, Parameter(help="For programs.")]
Folder = Annotated[Path | None, Parameter(name="--dir", help="Where the servers keep their data [HOME/lab].")]
Home = Annotated[Path | None, Parameter(help="The home folder [.headrace].")]
Only = Annotated[str | None, Parameter(help=f"Some of them, with commas between: {','.join(NAMES)}.")]


def up(
    *,
    only: Only = None,
    dir: Folder = None,
    env_file: Annotated[Path | None, Parameter(help="Write the settings there too, as KEY=value.")] = None,
    home: Home = None,
    json: Json = False,
) -> int:
    """Start Kafka, PostgreSQL and Valkey here, and wait until they answer.

    They go on when this command has ended, keep their data, and come back on the same ports. What runs already is left
    alone. The settings are printed as a shell reads them: eval "$(headrace lab up)".
    """
    names = _names(only)
    lab = Lab(_folder(dir, home, make=True), say=say)
    with _plainly():
        servers = lab.up(names)
        settings = lab.settings()
    if env_file is not None:
        _write(env_file, settings)
    if json:
        print_json({"schema": 1, "folder": str(lab.folder), "settings": settings, "servers": _told(servers)})
        return Status.OK
    for name, value in settings.items():
        print(f"export {name}={shlex.quote(value)}")
    return Status.OK


def down(
    *,
    only: Only = None,
    dir: Folder = None,
    delete: Annotated[bool, Parameter(help="Remove their data as well.")] = False,
    home: Home = None,
    json: Json = False,
) -> int:
    """Stop the servers of the lab.

    Their data stay, unless --delete is given. A process that the lab did not start is never touched.
    """
    lab = Lab(_folder(dir, home))
    with _plainly():
        ended = lab.down(_names(only), delete=delete)
    if json:
        print_json({"schema": 1, "folder": str(lab.folder), "stopped": ended, "deleted": delete})
    else:
        say(f"Stopped {', '.join(ended)}." if ended else f"Nothing runs in {lab.folder}.")
    return Status.OK


def status(*, dir: Folder = None, home: Home = None, json: Json = False) -> int:
    """Which servers of the lab run, where, and whether they answer.

    The exit status is 3 when one of them does not.
    """
    lab = Lab(_folder(dir, home))
    with _plainly():
        servers = lab.status()
    if json:
        print_json(
            {
                "schema": 1,
                "folder": str(lab.folder),
                "settings": _settings(servers),
                "servers": _told(servers),
            }
        )
    else:
        rows = [
            (one.name, one.pid, one.port, _word(one), one.address if one.ready else None) for one in servers
        ]
        print_table(["server", "pid", "port", "state", "address"], rows, empty="")
    return Status.OK if all(one.ready for one in servers) else Status.SERVICE


def _names(only: str | None) -> Sequence[str]:
    if only is None:
        return NAMES
    names = [word.strip() for word in only.split(",") if word.strip()]
    if not names or (unknown := [name for name in names if name not in NAMES]):
        what = f"does not know {', '.join(unknown)}" if names else "needs a name"
        raise Stop(f"--only {what}.", hint=f"There are: {', '.join(NAMES)}.")
    return names


def _folder(given: Path | None, home: Path | None, *, make: bool = False) -> Path:
    if given is not None:
        return given
    found = load_settings({"home": home}).settings.home
    return (prepare(found) if make else found) / "lab"


@contextlib.contextmanager
def _plainly() -> Iterator[None]:
    """What goes wrong with the lab, and with the files it keeps, as one message and status 3."""
    try:
        yield
    except LabError as error:
        raise Stop(error.message, hint=error.hint, status=Status.SERVICE) from None
    except OSError as error:
        raise Stop(
            f"The lab cannot go on: {error}.", hint="Give another folder with --dir.", status=Status.SERVICE
        ) from None


def _settings(servers: Iterable[ServerStatus]) -> dict[str, str]:
    return {one.setting: one.address for one in servers if one.ready and one.address is not None}


def _told(servers: Iterable[ServerStatus]) -> list[dict[str, Any]]:
    return [
        {
            "name": one.name,
            "pid": one.pid,
            "port": one.port,
            "ready": one.ready,
            "address": one.address,
            "log": str(one.log),
        }
        for one in servers
    ]


def _word(server: ServerStatus) -> str:
    return "ready" if server.ready else "does not answer" if server.pid is not None else "down"


def _write(path: Path, settings: Mapping[str, str]) -> None:
    """As a file for --env-file of other tools, or our own `.env`: only its owner may read it. Raises Stop."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.writelines(f"{name}={value}\n" for name, value in settings.items())
    except OSError as error:
        raise Stop(f"{path} cannot be written: {error.strerror or error}.") from None
