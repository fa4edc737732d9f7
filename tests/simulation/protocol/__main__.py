"""`python -m tests.simulation.protocol`: explore the large worlds and print how many states each has.

With a word, only worlds whose name holds it. Exit status 1 when an invariant breaks, with the shortest trace.
"""

from __future__ import annotations

import sys
import time

from tests.simulation.protocol.checker import TooLarge
from tests.simulation.protocol.worlds import DAILY, LARGE

MOST = 12_000_000
"""States; about 400 bytes each."""


def main(word: str = "") -> int:
    """Explore; answer with the exit status."""
    print(f"{'world':70} {'states':>11} {'steps':>11} {'depth':>5} {'seconds':>7}")
    states = worst = 0
    for name, sizes, check, told in (*DAILY, *LARGE):
        if word not in name:
            continue
        began = time.perf_counter()
        try:
            verdict = check(**sizes, most=MOST)
        except TooLarge as large:
            print(f"{name:70} {large}", flush=True)
            worst = 1
            continue
        seconds = time.perf_counter() - began
        print(
            f"{name:70} {verdict.states:11,} {verdict.moves:11,} {verdict.depth:5} {seconds:7.1f}", flush=True
        )
        states += verdict.states
        if not verdict.sound:
            print(told(verdict))
            worst = 1
    print(f"{'together':70} {states:11,}")
    return worst


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
