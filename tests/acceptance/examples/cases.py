"""Every workflow of the examples: how it is run, how it ends, and what must then be true of the world."""

from __future__ import annotations

import csv
import gzip
import json
import sqlite3
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.acceptance.examples.mailbox import Mailbox

WORKFLOWS = Path(__file__).parents[3] / "examples" / "workflows"


class Services(NamedTuple):
    """What some examples talk to: etl's own catalogue, and a mail server."""

    catalogue: Any
    mailbox: Mailbox


class Ended(NamedTuple):
    """A finished run: its document, where it wrote, and what it talked to."""

    run: Any
    out: Path
    services: Services

    @property
    def output(self) -> Any:
        return self.run["output"]

    def states(self) -> dict[str, list[str]]:
        """The states of each task's runs, by its id."""
        states: dict[str, list[str]] = {}
        for task in self.run["tasks"]:
            states.setdefault(task["id"], []).append(task["state"])
        return states

    def attempts(self, task: str) -> int:
        """How often one task was tried."""
        [found] = [one["attempts"] for one in self.run["tasks"] if one["id"] == task]
        return int(found)


Params = Callable[[Path, Services], dict[str, object]]


def _out(out: Path, services: Services) -> dict[str, object]:
    return {"out": str(out)}


@dataclass(frozen=True)
class Case:
    """One run of one workflow.

    `folder/yaml` and `folder/python` are its two files; `check` asserts what must hold however often the run was
    interrupted, `uninterrupted` what holds only of a run that was not.
    """

    name: str
    folder: str
    yaml: str
    python: str
    check: Callable[[Ended], None]
    params: Params = _out
    state: str = "succeeded"
    uninterrupted: Callable[[Ended], None] = lambda ended: None
    events: int = 0
    """About how many events a run has: one of them is where it is killed."""

    def file(self, spelling: str, below: Path = WORKFLOWS) -> str:
        """`FILE` or `FILE.py:name`."""
        return str(below / self.folder / (self.yaml if spelling == "yaml" else self.python))

    def words(self, spelling: str, out: Path, services: Services, below: Path = WORKFLOWS) -> list[str]:
        """`run FILE -p …`."""
        pairs = self.params(out, services)
        given = [word for name, value in pairs.items() for word in ("-p", f"{name}={value}")]
        return ["run", self.file(spelling, below), *given]

    def __str__(self) -> str:
        return self.name


# -- river ----------------------------------------------------------------------------------------------------------


def _river(ended: Ended) -> None:
    data = WORKFLOWS / "river" / "data" / "levels.csv"
    with data.open(newline="") as stream:
        levels = [int(row["cm"]) for row in csv.DictReader(stream) if row["at"].startswith("2026-03-02")]
    assert len(levels) == 4
    figures = {"day": "2026-03-02", "lowest": min(levels), "highest": max(levels), "mean": sum(levels) / 4}
    assert {**ended.output, "mean": pytest.approx(figures["mean"], abs=0.05)} == figures
    assert json.loads((ended.out / "2026-03-02.json").read_text()) == ended.output
    assert [file.name for file in ended.out.glob("*.json")] == ["2026-03-02.json"]


# -- refund -----------------------------------------------------------------------------------------------------------


def _refund(ended: Ended) -> None:
    assert ended.states()["ask"] == ["skipped"]
    assert ended.output == {"order": "A-1007", "cents": 1850, "approved_by": "nobody needed"}
    assert json.loads((ended.out / "A-1007.json").read_text()) == ended.output


# -- census ---------------------------------------------------------------------------------------------------------


def _counted(ended: Ended) -> None:
    with (WORKFLOWS / "census" / "data" / "2020.csv").open(newline="") as stream:
        people = {row["district"]: int(row["people"]) for row in csv.DictReader(stream)}
    largest = max(people, key=people.__getitem__)
    assert ended.output == {"districts": len(people), "people": sum(people.values()), "largest": largest}
    assert {file.name for file in ended.out.iterdir()} >= {"2020.order", "2020.csv"}


def _counted_once(ended: Ended) -> None:
    assert ended.attempts("order") == 1
    assert ended.attempts("look") >= 3  # two seconds, and a look every half


# -- daily_sales -----------------------------------------------------------------------------------------------------


def day_by_hand() -> dict[str, tuple[int, int]]:
    """Orders and cents of each shop whose every line can be priced, computed with fractions."""
    data = WORKFLOWS / "daily_sales" / "data"
    with (data / "rates.csv").open() as stream:
        rates = {row["currency"]: Fraction(row["per_eur"]) for row in csv.DictReader(stream)}
    shops = {}
    for file in sorted((data / "2026-03-02").glob("*.csv")):
        with file.open(newline="") as stream:
            rows = list(csv.DictReader(stream))
        if all(row["quantity"].isdigit() for row in rows):
            amounts = (
                100 * int(row["quantity"]) * Fraction(row["unit_price"]) / rates[row["currency"]]
                for row in rows
            )
            shops[file.stem.partition("-")[2]] = (len(rows), sum(map(round, amounts)))
    return shops


def _sales(ended: Ended) -> None:
    by_hand = day_by_hand()
    assert set(by_hand) == {"berlin", "bristol", "lyon", "austin", "boston"}
    orders, cents = map(sum, zip(*by_hand.values(), strict=True))
    folder = ended.out / "2026-03-02"
    assert ended.output == {
        "report": str(folder / "report.md"),
        "table": str(folder / "sales.csv"),
        "orders": orders,
        "cents": cents,
        "left_out": ["2026-03-02/us-denver.csv"],
    }
    with (folder / "sales.csv").open(newline="") as stream:
        table = {row["shop"]: (int(row["orders"]), int(row["cents"])) for row in csv.DictReader(stream)}
    assert table == by_hand
    report = (folder / "report.md").read_text()
    assert "# Sales of Monday, 2 March 2026" in report
    assert f"{orders} orders, **€{cents // 100:,}.{cents % 100:02}**." in report
    assert "Not counted, because they could not be priced: 2026-03-02/us-denver.csv." in report
    assert json.loads((folder / "closed.json").read_text()) == {"day": "2026-03-02", "state": "succeeded"}
    assert sorted(ended.states()["price"]) == ["failed", *["succeeded"] * 5]
    assert not (folder / "ALERT.txt").exists()


def _sales_once(ended: Ended) -> None:
    tries = {task["map_index"]: task["attempts"] for task in ended.run["tasks"] if task["id"] == "price"}
    assert tries == dict.fromkeys(range(6), 1)  # a line that cannot be priced is not tried again


def _no_orders(ended: Ended) -> None:
    assert ended.output is None
    assert ended.states()["extract"] == ["failed"]
    assert ended.states()["publish"] == ["upstream_failed"]
    folder = ended.out / "2026-03-03"
    assert (folder / "ALERT.txt").read_text() == "No report for 2026-03-03: extract failed.\n"
    assert json.loads((folder / "closed.json").read_text())["state"] == "failed"


# -- media -----------------------------------------------------------------------------------------------------------


def _media(ended: Ended) -> None:
    assert ended.output["page"] == str(ended.out / "gallery.html")
    assert ended.output["clips"] == 6
    page = (ended.out / "gallery.html").read_text()
    sizes = 0
    for number in range(6):
        [sound] = ended.out.glob(f"{number:03d}-*.wav")
        packed = [Path(f"{sound}.{level}.gz") for level in (1, 9)]
        assert [gzip.decompress(file.read_bytes()) for file in packed] == [sound.read_bytes()] * 2
        picture = sound.with_name(
            f"{min(packed, key=lambda file: (file.stat().st_size, str(file))).name[:-3]}"
        )
        assert picture.with_suffix(".svg").read_text().startswith("<svg ")
        assert f'src="{picture.with_suffix(".svg").name}"' in page
        sizes += min(file.stat().st_size for file in packed)
    assert ended.output["bytes"] == sizes
    states = ended.states()
    assert len(states["each.encode"]) == 12
    assert set(states["each.encode"]) == {"succeeded"}
    assert not list(ended.out.glob("*.part"))


# -- order_saga ------------------------------------------------------------------------------------------------------


def _shop(out: Path, query: str) -> list[Any]:
    shop = sqlite3.connect(out / "shop.db")
    try:
        return shop.execute(query).fetchall()
    finally:
        shop.close()


def _ordered(ended: Ended) -> None:
    assert ended.output["cents"] == 6490 + 3 * 690
    stock = dict(_shop(ended.out, "select sku, pieces from stock"))
    assert stock == {"KET-17": 19, "FLT-100": 17, "MUG-350": 20}
    assert _shop(ended.out, "select ordered, cents, refunded from payments") == [("A-1001", 8560, 0)]
    assert _shop(ended.out, "select ordered from parcels") == [("A-1001",)]
    assert ended.states()["release"] == ["pending"] or "skipped" in ended.states()["release"]


def _ordered_once(ended: Ended) -> None:
    assert ended.attempts("ship") == 3  # the carrier was away twice
    assert ended.attempts("charge") == 1


def _declined(ended: Ended) -> None:
    assert dict(_shop(ended.out, "select sku, pieces from stock")) == {
        "KET-17": 20,
        "FLT-100": 20,
        "MUG-350": 20,
    }
    assert _shop(ended.out, "select * from reservations") == _shop(ended.out, "select * from payments") == []
    assert ended.states()["charge"] == ["failed"]
    assert ended.states()["ship"] == ["upstream_failed"]
    assert ended.states()["release"] == ["succeeded"]


def _declined_once(ended: Ended) -> None:
    assert ended.attempts("charge") == 1


# -- etl -------------------------------------------------------------------------------------------------------------


def _etl(ended: Ended) -> None:
    categories = {"beans": 8, "brewers": 7, "cups": 5, "grinders": 6}
    output = ended.output
    assert output["database"] == str(ended.out / "catalogue.db")
    assert (output["rows"], output["discounted"], output["categories"]) == (26, 3, categories)
    database = sqlite3.connect(ended.out / "catalogue.db")
    try:
        found = dict(database.execute("select category, count(*) from products group by category").fetchall())
        cheapest = database.execute(
            "select sku, percent_off from products order by percent_off desc"
        ).fetchone()
    finally:
        database.close()
    assert found == categories
    assert cheapest == ("GRI-01", 25)
    assert output["receipt"] == "L-1"  # however often it was sent, it was one load
    assert list(ended.services.catalogue.loads.values()) == [{"rows": 26, "categories": categories}]


def _etl_once(ended: Ended) -> None:
    assert set(ended.services.catalogue.asked.values()) == {2}  # refused, then answered
    waited = [task for task in ended.run["tasks"] if task["id"] == "index"]
    assert waited[0]["attempts"] == 2
    assert (
        ended.run["duration_seconds"] >= 3
    )  # index, page and report one after the other, a second of Retry-After each


# -- jobs ------------------------------------------------------------------------------------------------------------


def _processed(ended: Ended) -> None:
    by_hand: dict[str, list[float]] = {}
    with (WORKFLOWS / "jobs" / "data" / "readings.csv").open(newline="") as stream:
        for row in csv.DictReader(stream):
            by_hand.setdefault(row["sensor"], []).append(float(row["celsius"]))
    assert ended.output == {
        sensor: {
            "readings": len(values),
            "lowest": min(values),
            "highest": max(values),
            "tenths": sum(round(10 * value) for value in values),
        }
        for sensor, values in by_hand.items()
    }
    assert len(ended.states()["summarise"]) == 5


def _mailed(ended: Ended) -> None:
    messages = ended.services.mailbox.messages
    assert {str(message["Message-ID"]) for message in messages} == {ended.output["message"]}
    assert messages[0]["To"] == "ada@example.com"
    assert messages[0]["Subject"] == "Good news"
    assert messages[0].get_content().splitlines() == [
        "Your job is done.",
        "",
        "-- ",
        f"run {ended.run['run']}",
    ]


def _mailed_once(ended: Ended) -> None:
    assert len(ended.services.mailbox.messages) == 1


def _reported(ended: Ended) -> None:
    page = Path(ended.output).read_text()
    assert ended.output == str(ended.out / "report.html")
    assert f"<title>Readings, {ended.run['created_at'][:10]}</title>" in page
    assert "<tr><th>busiest<td>readings 24, sensor cellar" in page
    with (WORKFLOWS / "jobs" / "data" / "readings.csv").open(newline="") as stream:
        top = max(csv.DictReader(stream), key=lambda row: float(row["celsius"]))
    assert f"<tr><th>warmest<td>celsius {top['celsius']}, sensor {top['sensor']}" in page


def _sync_params(out: Path, services: Services) -> dict[str, object]:
    for name in ("old/gone.txt", "hours.csv"):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text("out of date\n")
    return {"target": str(out)}


def _synced(ended: Ended) -> None:
    source = WORKFLOWS / "jobs" / "data" / "source"
    wanted = {file.relative_to(source): file.read_bytes() for file in source.rglob("*") if file.is_file()}
    assert {
        file.relative_to(ended.out): file.read_bytes() for file in ended.out.rglob("*") if file.is_file()
    } == wanted
    assert not (ended.out / "old").exists()


def _synced_once(ended: Ended) -> None:
    assert ended.output == {"copied": 4, "removed": 1}


def _stumbled(ended: Ended) -> None:
    assert ended.output == f"done at attempt {ended.attempts('stumble')}"


def _stumbled_once(ended: Ended) -> None:
    assert ended.attempts("stumble") == 4


def _gave_up(ended: Ended) -> None:
    assert ended.states()["give_up"] == ["failed"]
    assert ended.states()["celebrate"] == ["upstream_failed"]
    assert ended.states()["tell"] == ["succeeded"]
    assert ended.attempts("give_up") == 3


# -- training --------------------------------------------------------------------------------------------------------


def _trained(ended: Ended) -> None:
    winner = ended.output
    assert (winner["rate"], winner["degree"], winner["of"]) == (0.3, 2, 9)
    # the prices were made with a square term in two of the features, and a noise of 12
    assert 8 < winner["error"] < 14
    assert sorted(ended.states()["train"]) == ["failed"] * 3 + ["succeeded"] * 9
    assert {task["error"]["kind"] for task in ended.run["tasks"] if task["state"] == "failed"} == {"Diverged"}


# -- family ----------------------------------------------------------------------------------------------------------


def _closed(ended: Ended) -> None:
    balances = {}
    for file in sorted((WORKFLOWS / "family" / "data").glob("*.csv")):
        with file.open(newline="") as stream:
            balances[file.stem] = [int(row["cents"]) for row in csv.DictReader(stream)]
    folder = ended.out / "2026-02"
    assert ended.output == {"cents": sum(map(sum, balances.values())), "statement": str(folder / "all.csv")}
    for branch, cents in balances.items():
        assert (folder / f"{branch}.csv").read_text().endswith(f"balance,{sum(cents)}\n")
    children = [task["child_run"] for task in ended.run["tasks"] if task["id"] in ("close", "archive")]
    assert len(set(children)) == 4
    assert None not in children


def archived(out: Path) -> list[str]:
    """The files that month_end's archive holds: written by a child that the parent does not wait for."""
    with tarfile.open(out / "2026-02.tar") as archive:
        return sorted(Path(name).name for name in archive.getnames() if name.endswith(".csv"))


def _job(name: str, check: Callable[[Ended], None], **more: Any) -> Case:
    return Case(name, "jobs", f"{name}.yaml", f"jobs_flow.py:{name}", check, **more)


def _nothing(out: Path, services: Services) -> dict[str, object]:
    return {}


CASES = [
    Case(
        "census",
        "census",
        "census.yaml",
        "census_flow.py",
        _counted,
        uninterrupted=_counted_once,
        events=14,
    ),
    Case(
        "daily_sales",
        "daily_sales",
        "daily_sales.yaml",
        "daily_sales_flow.py",
        _sales,
        uninterrupted=_sales_once,
        events=25,
    ),
    Case(
        "daily_sales_without_orders",
        "daily_sales",
        "daily_sales.yaml",
        "daily_sales_flow.py",
        _no_orders,
        lambda out, services: {"out": str(out), "day": "2026-03-03"},
        state="failed",
        events=15,
    ),
    Case(
        "river",
        "river",
        "river.yaml",
        "river_flow.py",
        _river,
        lambda out, _: {"out": str(out), "day": "2026-03-02"},
        events=8,
    ),
    Case(
        "refund",
        "refund",
        "refund.yaml",
        "refund_flow.py",
        _refund,
        events=8,
    ),
    Case(
        "media",
        "media",
        "media.yaml",
        "media_flow.py",
        _media,
        lambda out, _: {"out": str(out), "count": 6},
        events=80,
    ),
    Case(
        "order_saga",
        "order_saga",
        "order_saga.yaml",
        "order_saga_flow.py",
        _ordered,
        uninterrupted=_ordered_once,
        events=13,
    ),
    Case(
        "order_saga_declined",
        "order_saga",
        "order_saga.yaml",
        "order_saga_flow.py",
        _declined,
        lambda out, _: {"out": str(out), "card": "declined"},
        state="failed",
        uninterrupted=_declined_once,
        events=10,
    ),
    Case(
        "etl",
        "etl",
        "etl.yaml",
        "etl_flow.py",
        _etl,
        lambda out, services: {"out": str(out), "service": services.catalogue.url},
        uninterrupted=_etl_once,
        events=40,
    ),
    _job("process_data", _processed, params=_nothing, events=18),
    _job(
        "send_email",
        _mailed,
        params=lambda _, services: {"to": "ada@example.com", "port": services.mailbox.port},
        uninterrupted=_mailed_once,
        events=5,
    ),
    _job("generate_report", _reported, events=9),
    _job("sync_data", _synced, params=_sync_params, uninterrupted=_synced_once, events=18),
    _job(
        "fails_n_times", _stumbled, params=lambda _, __: {"times": 3}, uninterrupted=_stumbled_once, events=10
    ),
    _job("always_fails", _gave_up, params=_nothing, state="failed", events=11),
    Case("training", "training", "training.yaml", "training_flow.py", _trained, _nothing, events=55),
    Case("month_end", "family", "month_end.yaml", "month_end_flow.py:month_end", _closed, events=14),
]
