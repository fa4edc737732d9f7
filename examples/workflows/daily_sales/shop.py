"""What the tasks of the daily sales report do. Plain functions: neither spelling of the workflow shows in them.

Every task may be run twice for one result, when a machine dies between the work and the report of it. So each writes
whole files, under names that depend on its inputs alone: the second time changes nothing.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path

HERE = Path(__file__).parent
DATA = HERE / "data"


@dataclass(frozen=True)
class Orders:
    """The order files of a day, by name."""

    files: list[str]


@dataclass(frozen=True)
class Priced:
    """One shop's day. Money is in cents of a euro, so that sums are exact in any language."""

    region: str
    shop: str
    orders: int
    units: int
    cents: int
    products: dict[str, int]


@dataclass(frozen=True)
class Report:
    """Where the report stands, and its totals."""

    report: str
    table: str
    orders: int
    cents: int
    left_out: list[str]


def extract(day: date, regions: list[str], out: str) -> Orders:
    """The day's files, in the order of the regions asked for. What an earlier run priced is cleared away."""
    shutil.rmtree(HERE / out / day.isoformat() / "priced", ignore_errors=True)
    folder = DATA / day.isoformat()
    files = [f"{day}/{path.name}" for region in regions for path in sorted(folder.glob(f"{region}-*.csv"))]
    if not files:
        raise FileNotFoundError(f"no orders of {', '.join(regions)} on {day}")
    return Orders(files)


def price(file: str, out: str) -> Priced:
    """Turn each order into euros; the priced lines go to a file of their own, for whoever checks them.

    Raises ValueError naming the line that cannot be priced.
    """
    source = DATA / file
    region, _, shop = source.stem.partition("-")
    rates = exchange_rates()
    lines: list[list[object]] = []
    units, products = 0, Counter[str]()
    with source.open(encoding="utf-8", newline="") as stream:
        for number, row in enumerate(csv.DictReader(stream), start=2):
            try:
                quantity = int(row["quantity"])
                amount = in_cents(quantity * Decimal(row["unit_price"]) / rates[row["currency"]])
            except (ValueError, ArithmeticError, KeyError) as error:
                raise ValueError(f"{source.name}, line {number}: {error}") from error
            lines.append([row["order"], row["sku"], quantity, amount])
            units += quantity
            products[row["product"]] += amount
    target = HERE / out / source.parent.name / "priced" / source.name
    write_csv(target, ["order", "sku", "quantity", "cents"], lines)
    return Priced(region, shop, len(lines), units, sum(products.values()), dict(products))


def publish(day: date, files: list[str], priced: Sequence[Priced | None], rows: int, out: str) -> Report:
    """Write the report, for people as Markdown and for programs as CSV."""
    sold = [shop for shop in priced if shop is not None]
    left_out = [file for file, shop in zip(files, priced, strict=True) if shop is None]
    cents = sum(shop.cents for shop in sold)
    folder = HERE / out / day.isoformat()
    table = folder / "sales.csv"
    write_csv(
        table,
        ["region", "shop", "orders", "units", "cents"],
        [[shop.region, shop.shop, shop.orders, shop.units, shop.cents] for shop in sold],
    )
    report = folder / "report.md"
    write(report, "\n".join(markdown(day, sold, left_out, rows, cents)) + "\n")
    print(f"The report is at {report}")
    return Report(str(report), str(table), rows, cents, left_out)


def alert(day: date, failed: list[str], out: str) -> None:
    """Leave a note where the report would be. A real one would page somebody."""
    write(HERE / out / day.isoformat() / "ALERT.txt", f"No report for {day}: {', '.join(failed)} failed.\n")


def close_books(day: date, state: str, out: str) -> None:
    """Note how the day ended, whichever way that was. Lines priced for the check are of no more use."""
    folder = HERE / out / day.isoformat()
    write(folder / "closed.json", json.dumps({"day": day.isoformat(), "state": state}) + "\n")
    if state == "succeeded":
        shutil.rmtree(folder / "priced", ignore_errors=True)


def markdown(
    day: date, sold: Sequence[Priced], left_out: Sequence[str], rows: int, cents: int
) -> Iterable[str]:
    """The report's lines."""
    yield f"# Sales of {day:%A, %-d %B %Y}"
    yield ""
    yield f"{rows} orders, **€{euros(cents)}**."
    yield ""
    yield "| region | shop | orders | units | revenue |"
    yield "|---|---|---:|---:|---:|"
    for shop in sorted(sold, key=lambda shop: (shop.region, -shop.cents)):
        yield f"| {shop.region} | {shop.shop} | {shop.orders} | {shop.units} | €{euros(shop.cents)} |"
    products = Counter[str]()
    for shop in sold:
        products.update(shop.products)
    yield ""
    yield "Best sellers:"
    yield ""
    for place, (name, amount) in enumerate(products.most_common(3), start=1):
        yield f"{place}. {name}, €{euros(amount)}"
    if left_out:
        yield ""
        yield f"Not counted, because they could not be priced: {', '.join(left_out)}."


def exchange_rates() -> dict[str, Decimal]:
    """How much of each currency a euro buys."""
    with (DATA / "rates.csv").open(encoding="utf-8", newline="") as stream:
        return {row["currency"]: Decimal(row["per_eur"]) for row in csv.DictReader(stream)}


def in_cents(amount: Decimal) -> int:
    """An amount rounded to a cent, halves to the even one, as accountants do."""
    return int((amount * 100).quantize(Decimal(1), ROUND_HALF_EVEN))


def euros(cents: int) -> str:
    """Cents as `1,234.56`."""
    return f"{cents / 100:,.2f}"


def write_csv(path: Path, names: list[str], rows: Iterable[Iterable[object]]) -> None:
    """Write a table."""
    write(path, "".join(",".join(map(str, row)) + "\n" for row in [names, *rows]))


def write(path: Path, text: str) -> None:
    """Write a whole file or nothing: a reader, or the next attempt, never meets half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.part")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
