"""What the Python tasks of the ETL do: pages into lines, lines into a database."""

from __future__ import annotations

import csv
import sqlite3
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Product:
    """A product as the service sends it. What a page brings is checked against this before `flatten` is called."""

    sku: str
    name: str
    category: str
    cents: int


@dataclass(frozen=True)
class Page:
    """One page of the catalogue."""

    products: list[Product]


@dataclass(frozen=True)
class Flat:
    """A file of tab-separated lines, one per product, and how many there are."""

    file: str
    lines: int


@dataclass(frozen=True)
class Loaded:
    """The database, its rows, and how many of them are sold at a discount."""

    database: str
    rows: int
    discounted: int


def flatten(pages: list[Page], out: str) -> Flat:
    """Write all pages as lines of sku, name, category, cents; by sku, so that the same catalogue gives the same file."""
    products = sorted((product for page in pages for product in page.products), key=lambda one: one.sku)
    folder = HERE / out
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / "products.tsv"
    draft = target.with_name(".products.part")
    with draft.open("w", encoding="utf-8", newline="") as stream:
        lines = csv.writer(stream, delimiter="\t", lineterminator="\n")
        lines.writerows((one.sku, one.name, one.category, one.cents) for one in products)
    draft.replace(target)
    return Flat(str(target), len(products))


def load(products: str, discounts: str, out: str) -> Loaded:
    """Make the database what the files say, in one transaction. `discounts`: lines of sku,percent; may be empty."""
    percent = {row["sku"]: int(row["percent"]) for row in csv.DictReader(discounts.splitlines())}
    with open(products, encoding="utf-8", newline="") as stream:
        rows = [
            (sku, name, category, int(cents), percent.get(sku, 0))
            for sku, name, category, cents in csv.reader(stream, delimiter="\t")
        ]
    database = HERE / out / "catalogue.db"
    connection = sqlite3.connect(database, timeout=30)
    try:
        with connection:
            connection.execute(
                "create table if not exists products"
                " (sku text primary key, name text, category text, cents integer, percent_off integer)"
            )
            connection.execute("delete from products")
            connection.executemany("insert into products values (?, ?, ?, ?, ?)", rows)
    finally:
        connection.close()
    return Loaded(str(database), len(rows), sum(row[4] > 0 for row in rows))
