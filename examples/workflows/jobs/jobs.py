"""What the tasks of the jobs do."""

from __future__ import annotations

import csv
import filecmp
import html
import shutil
import smtplib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from headrace.dsl import current

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Piece:
    """Some lines of a file, counted from 1 after the names; the last one included."""

    file: str
    first: int
    last: int


@dataclass(frozen=True)
class Summary:
    """The readings of one sensor: how many, the lowest, the highest, and their sum in tenths of a degree."""

    readings: int
    lowest: float
    highest: float
    tenths: int


@dataclass(frozen=True)
class Sent:
    """The message's id, and to whom it went."""

    message: str
    to: str


@dataclass(frozen=True)
class Differences:
    """Files of the source that are new or changed, and files of the target that the source no longer has."""

    differing: list[str]
    gone: list[str]


# -- process_data ----------------------------------------------------------------------------------------------------


def split(file: str, chunk: int) -> list[Piece]:
    """Cut a file into pieces of `chunk` lines. Only where they are travels to the next task, not what they hold."""
    count = sum(1 for _ in readings(file))
    return [Piece(file, first, min(first + chunk - 1, count)) for first in range(1, count + 1, chunk)]


def summarise(piece: Piece) -> dict[str, Summary]:
    """Each sensor's summary within a piece."""
    found: dict[str, list[float]] = defaultdict(list)
    for number, (sensor, celsius) in enumerate(readings(piece.file), start=1):
        if piece.first <= number <= piece.last:
            found[sensor].append(celsius)
    return {
        sensor: Summary(len(values), min(values), max(values), round(sum(values) * 10))
        for sensor, values in found.items()
    }


def merge(parts: list[dict[str, Summary]]) -> dict[str, Summary]:
    """The summaries of the whole."""
    whole: dict[str, Summary] = {}
    for part in parts:
        for sensor, new in part.items():
            old = whole.get(sensor)
            whole[sensor] = (
                new
                if old is None
                else Summary(
                    old.readings + new.readings,
                    min(old.lowest, new.lowest),
                    max(old.highest, new.highest),
                    old.tenths + new.tenths,
                )
            )
    return whole


# -- send_email ------------------------------------------------------------------------------------------------------


def send(to: str, subject: str, body: str, host: str, port: int) -> Sent:
    """Hand a message to a server. All attempts give it the same id, by which a mailbox drops what it has already."""
    message = EmailMessage()
    message["From"] = "Headrace <jobs@example.com>"
    message["To"] = to
    message["Subject"] = subject
    message["Message-ID"] = f"<{current().effect_key}@example.com>"
    message.set_content(body)
    with smtplib.SMTP(host, port, timeout=20) as server:
        server.send_message(message)
    return Sent(message["Message-ID"], to)


# -- generate_report -------------------------------------------------------------------------------------------------


def warmest(file: str) -> dict[str, Any]:
    """The highest reading and its sensor."""
    sensor, celsius = max(readings(file), key=lambda reading: reading[1])
    return {"sensor": sensor, "celsius": celsius}


def write_page(title: str, figures: dict[str, dict[str, Any]], out: str) -> str:
    """Write a page with a table of figures; gives its path."""
    rows = "\n".join(
        f"<tr><th>{html.escape(name)}<td>{html.escape(', '.join(f'{key} {value}' for key, value in sorted(figure.items())))}"
        for name, figure in sorted(figures.items())
    )
    page = HERE / out / "report.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    draft = page.with_name(".report.part")
    text = html.escape(title)
    draft.write_text(
        f"<!doctype html>\n<meta charset=utf-8>\n<title>{text}</title>\n<h1>{text}</h1>\n<table>\n{rows}\n</table>\n",
        encoding="utf-8",
    )
    draft.replace(page)
    return str(page)


# -- sync_data -------------------------------------------------------------------------------------------------------


def compare(source: str, target: str) -> Differences:
    """What must be copied and what removed to make `target` like `source`."""
    wanted, there = files_below(HERE / source), files_below(HERE / target)
    differing = [
        file
        for file in wanted
        if file not in there or not filecmp.cmp(HERE / source / file, HERE / target / file, shallow=False)
    ]
    return Differences(differing, [file for file in there if file not in wanted])


def copy(file: str, source: str, target: str) -> None:
    """Copy one file; under its name there is always a whole one."""
    place = HERE / target / file
    place.parent.mkdir(parents=True, exist_ok=True)
    draft = place.with_name(f".{place.name}.part")
    shutil.copy2(HERE / source / file, draft)
    draft.replace(place)


def remove(files: list[str], target: str) -> None:
    """Remove files, and the folders that this leaves empty."""
    root = HERE / target
    for file in files:
        (root / file).unlink(missing_ok=True)
    for folder in sorted(root.rglob("*"), reverse=True):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


# -- fails_n_times, always_fails -------------------------------------------------------------------------------------


def stumble(times: int) -> str:
    """Raises RuntimeError on the first `times` attempts."""
    attempt = current().attempt
    if attempt <= times:
        raise RuntimeError(f"attempt {attempt} fails; {times} are meant to")
    return f"done at attempt {attempt}"


def give_up() -> None:
    """Raises RuntimeError, always."""
    raise RuntimeError("this was never going to work")


def tell(failed: list[str]) -> None:
    """Say what failed."""
    print(f"{', '.join(failed)}: nothing could be done")


# -- files -----------------------------------------------------------------------------------------------------------


def readings(file: str) -> Iterable[tuple[str, float]]:
    """Sensor and degrees of each line."""
    with (HERE / file).open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            yield row["sensor"], float(row["celsius"])


def files_below(folder: Path) -> list[str]:
    """The files in and below a folder, by their paths from it; drafts of copies left out."""
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    )
