"""A gauge in a river, and what it has read."""

import csv
import json
import os
from datetime import date
from pathlib import Path
from typing import TypedDict

from headrace.dsl import Fail

HERE = Path(__file__).parent


class Day(TypedDict):
    """A day's levels, in centimetres."""

    day: str
    lowest: int
    highest: int
    mean: float


def read(day: date) -> list[int]:
    """The levels that were read on a day."""
    with (HERE / "data" / "levels.csv").open(newline="") as stream:
        levels = [int(row["cm"]) for row in csv.DictReader(stream) if row["at"].startswith(day.isoformat())]
    if not levels:
        raise Fail(f"nothing was read on {day}")
    return levels


def sum_up(day: date, levels: list[int], out: str) -> Day:
    """Write the day's figures, as a whole file under the day's name: to do it twice does no harm."""
    mean = round(sum(levels) / len(levels), 1)
    figures = Day(day=day.isoformat(), lowest=min(levels), highest=max(levels), mean=mean)
    folder = HERE / out
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f".{day}.{os.getpid()}"
    draft.write_text(json.dumps(figures) + "\n", encoding="utf-8")
    draft.replace(folder / f"{day}.json")
    return figures
