"""What the tasks of the month's end do."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Balance:
    """A branch's month: its entries, its balance in cents, and what each account adds to it."""

    branch: str
    entries: int
    cents: int
    accounts: dict[str, int]


@dataclass(frozen=True)
class Statement:
    """Where the consolidated statement stands, and its balance in cents."""

    statement: str
    cents: int


def add_up(branch: str, month: str) -> Balance:
    """The balance of a branch's entries in a month."""
    accounts, entries = Counter[str](), 0
    with (HERE / "data" / f"{branch}.csv").open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            if row["date"].startswith(month):
                accounts[row["account"]] += int(row["cents"])
                entries += 1
    return Balance(branch, entries, sum(accounts.values()), dict(sorted(accounts.items())))


def lock(balance: Balance, month: str, out: str) -> None:
    """Write down the balance that the month was closed with."""
    lines = [f"{name},{cents}" for name, cents in balance.accounts.items()]
    write(HERE / out / month / f"{balance.branch}.csv", ["account,cents", *lines, f"balance,{balance.cents}"])


def consolidate(branches: list[Balance], month: str, out: str) -> Statement:
    """One statement of all branches."""
    cents = sum(balance.cents for balance in branches)
    lines = [f"{balance.branch},{balance.entries},{balance.cents}" for balance in branches]
    statement = HERE / out / month / "all.csv"
    write(statement, ["branch,entries,cents", *lines, f"all,{sum(one.entries for one in branches)},{cents}"])
    return Statement(str(statement), cents)


def write(path: Path, lines: list[str]) -> None:
    """Write a whole file or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.part")
    draft.write_text("\n".join(lines) + "\n", encoding="utf-8")
    draft.replace(path)
