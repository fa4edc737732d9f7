"""How a task run is named: in memory and in the store by (task, map), for people as `price[7]`, `each.encode[2,1]`.

`map` packs the indexes of the enclosing maps, outermost first, into one 63-bit integer: 21 bits each, holding
index + 1, so 0 means "no item" (an unmapped task, or a mapped one not expanded) and at most three levels fit.
"""

from __future__ import annotations

from typing import NamedTuple

BITS = 21
MAX_ITEMS = (1 << BITS) - 2
LEVELS = 3


class Key(NamedTuple):
    """One task run within one run and generation: index of the task in the plan, packed map index."""

    task: int
    map: int = 0


def child(path: int, item: int, level: int) -> int:
    """The packed index of item number `item` at nesting `level` (0 = outermost) below `path`."""
    return path | (item + 1) << BITS * (LEVELS - 1 - level)


def unpack(path: int) -> tuple[int, ...]:
    """The indexes, outermost first: `unpack(child(0, 7, 0)) == (7,)`."""
    mask = (1 << BITS) - 1
    parts = [(path >> BITS * (LEVELS - 1 - level)) & mask for level in range(LEVELS)]
    return tuple(part - 1 for part in parts if part)


def pack(indexes: tuple[int, ...]) -> int:
    """The inverse of `unpack`."""
    path = 0
    for level, item in enumerate(indexes):
        path = child(path, item, level)
    return path


def prefix(path: int, level: int) -> int:
    """The packed index of the enclosing item at nesting `level`: only the outermost `level` indexes."""
    shift = BITS * (LEVELS - level)
    return path >> shift << shift


def written(task_id: str, path: int) -> str:
    """`price[7]`, `each.encode[2,1]`, or the id alone."""
    return f"{task_id}[{','.join(map(str, unpack(path)))}]" if path else task_id
