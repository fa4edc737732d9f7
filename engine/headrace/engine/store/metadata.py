"""What the tables of `tables` and `people` have in common: the metadata they belong to, and types that differ by database."""

from __future__ import annotations

from sqlalchemy import BigInteger, Integer, MetaData, Text

metadata = MetaData()

Identity = BigInteger().with_variant(Integer(), "sqlite")
"""A number that the database counts up. SQLite counts only columns of the type INTEGER."""

RunId = Text().with_variant(Text(collation="C"), "postgresql")
"""Compared byte by byte, so that a prefix is a range."""
