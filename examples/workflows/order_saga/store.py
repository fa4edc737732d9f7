"""The services that an order goes through, as one small shop: a warehouse, a bank, a carrier, in a SQLite file.

A step may be done and its report be lost, so it may be asked for twice. Each therefore carries `effect_key`, which is
the same for all attempts of one task run, and the books take each key once: asking again gives the first answer.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from headrace.dsl import current

HERE = Path(__file__).parent
PRICES = {"KET-17": 6490, "FLT-100": 690, "MUG-350": 1290}
OPENING_STOCK = 20
TABLES = """
create table if not exists stock (sku text primary key, pieces integer not null check (pieces >= 0));
create table if not exists reservations (key text primary key, ordered text, items text, cents integer);
create table if not exists payments (key text primary key, ordered text, cents integer, refunded integer default 0);
create table if not exists parcels (key text primary key, ordered text, payment text);
"""


class OutOfStock(Exception):
    """There are fewer pieces than were ordered."""


class Declined(Exception):
    """The bank does not pay."""


class CarrierAway(ConnectionError):
    """The carrier did not answer."""


@dataclass(frozen=True)
class Reserved:
    """What was set aside, and its price in cents."""

    items: dict[str, int]
    cents: int


@dataclass(frozen=True)
class Charged:
    """The number of a payment."""

    payment: str


@dataclass(frozen=True)
class Released:
    """What was undone."""

    pieces: int
    refunded: int


def reserve(order: str, items: dict[str, int], out: str) -> Reserved:
    """Set pieces aside for an order. Raises OutOfStock."""
    key = current().effect_key
    cents = sum(PRICES[sku] * pieces for sku, pieces in items.items())
    with books(out) as shop:
        row = (key, order, json.dumps(items), cents)
        if shop.execute("insert or ignore into reservations values (?, ?, ?, ?)", row).rowcount:
            for sku, pieces in items.items():
                try:
                    shop.execute("update stock set pieces = pieces - ? where sku = ?", (pieces, sku))
                except sqlite3.IntegrityError:
                    raise OutOfStock(f"there are no {pieces} pieces of {sku}") from None
    return Reserved(items, cents)


def charge(order: str, cents: int, card: str, out: str) -> Charged:
    """Take the money. Raises Declined."""
    if card == "declined":
        raise Declined(f"the card for order {order} was declined")
    key = current().effect_key
    with books(out) as shop:
        shop.execute("insert or ignore into payments values (?, ?, ?, 0)", (key, order, cents))
    return Charged(f"P-{key[-8:]}")


def ship(order: str, payment: str, carrier_down: int, out: str) -> str:
    """Book a parcel and give its tracking number. Raises CarrierAway on the first `carrier_down` attempts."""
    attempt = current()
    if attempt.attempt <= carrier_down:
        raise CarrierAway(f"the carrier did not answer attempt {attempt.attempt}")
    with books(out) as shop:
        shop.execute("insert or ignore into parcels values (?, ?, ?)", (attempt.effect_key, order, payment))
    return f"T-{attempt.effect_key[-8:]}"


def release(order: str, failed: list[str], out: str) -> Released:
    """Undo what was done for an order: its pieces go back to the shelf, its money to the buyer."""
    with books(out) as shop:
        pieces = 0
        for (items,) in shop.execute(
            "delete from reservations where ordered = ? returning items", (order,)
        ).fetchall():
            for sku, count in json.loads(items).items():
                shop.execute("update stock set pieces = pieces + ? where sku = ?", (count, sku))
                pieces += count
        refunds = "update payments set refunded = 1 where ordered = ? and not refunded"
        refunded = shop.execute(refunds, (order,)).rowcount
    print(f"{', '.join(failed)} failed: {pieces} pieces released, {refunded} payments refunded")
    return Released(pieces, refunded)


@contextmanager
def books(out: str) -> Iterator[sqlite3.Connection]:
    """The shop's books, for one transaction: all of it is kept, or nothing."""
    folder = HERE / out
    folder.mkdir(parents=True, exist_ok=True)
    shop = sqlite3.connect(folder / "shop.db", timeout=30)
    try:
        shop.executescript(TABLES)
        with shop:
            shop.execute("begin immediate")
            shop.executemany(
                "insert or ignore into stock values (?, ?)", [(sku, OPENING_STOCK) for sku in PRICES]
            )
            yield shop
    finally:
        shop.close()
