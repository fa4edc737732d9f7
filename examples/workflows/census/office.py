"""An office that gives out figures, some time after they were ordered."""

import csv
import json
import os
import time
from pathlib import Path
from typing import TypedDict

from headrace.dsl import Fail

HERE = Path(__file__).parent


class Answer(TypedDict):
    """Whether the figures are ready, and then where."""

    ready: bool
    file: str | None


class Sum(TypedDict):
    """What a year's figures come to."""

    districts: int
    people: int
    largest: str


def order(year: int, takes: float, out: str) -> str:
    """Order a year's figures; the number of the order. To order them twice is to have ordered them."""
    if not (HERE / "data" / f"{year}.csv").exists():
        raise Fail(f"there was no census in {year}")
    _write(HERE / out / f"{year}.order", json.dumps({"ready_at": time.time() + takes}))
    return str(year)


def look(order: str, out: str) -> Answer:
    """Ask whether the figures are ready; take them along when they are."""
    placed = json.loads((HERE / out / f"{order}.order").read_text(encoding="utf-8"))
    if time.time() < placed["ready_at"]:
        return Answer(ready=False, file=None)
    figures = (HERE / "data" / f"{order}.csv").read_text(encoding="utf-8")
    file = _write(HERE / out / f"{order}.csv", figures)
    return Answer(ready=True, file=str(file))


def sum_up(file: str) -> Sum:
    """Add up the districts."""
    with Path(file).open(newline="", encoding="utf-8") as stream:
        people = {row["district"]: int(row["people"]) for row in csv.DictReader(stream)}
    return Sum(
        districts=len(people), people=sum(people.values()), largest=max(people, key=people.__getitem__)
    )


def _write(file: Path, text: str) -> Path:
    """As a whole file: whoever reads it sees all of it, and to write it twice does no harm."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    draft.write_text(text, encoding="utf-8")
    return draft.replace(file)
