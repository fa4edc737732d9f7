"""The long form: worlds from a seed on, until the time is up. Exit status 1 when a promise was broken in one of them."""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.chaos.cluster import place
from tests.chaos.script import script
from tests.chaos.world import play


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos", description="Kill, stop and cut off a cluster."
    )
    parser.add_argument("--minutes", type=float, default=20.0, help="no world begins after so many (20)")
    parser.add_argument("--seed", type=int, default=1, help="the first world's (1)")
    parser.add_argument("--worlds", type=int, help="no more than so many")
    parser.add_argument("--disturbances", type=int, default=20, help="in each world (20)")
    parser.add_argument("--runs", type=int, default=40, help="asked for in each world (40)")
    parser.add_argument("--seconds", type=float, default=12.0, help="that each world is disturbed for (12)")
    asked = parser.parse_args(arguments)
    end = time.monotonic() + asked.minutes * 60
    done: Counter[str] = Counter()
    worlds = broken = runs = attempts = kills = 0
    with place() as at:
        for seed in itertools.count(asked.seed):
            if time.monotonic() > end or worlds == asked.worlds:
                break
            drawn = script(seed, seconds=asked.seconds, disturbances=asked.disturbances, runs=asked.runs)
            with tempfile.TemporaryDirectory(prefix="headrace-chaos-") as folder:
                outcome = play(at, drawn, Path(folder))
            print(outcome, flush=True)
            if outcome.broken:
                broken += 1
                kept = Path(tempfile.gettempdir()) / f"headrace-chaos-{seed}.log"
                kept.write_text("\n".join([*outcome.broken, outcome.said]))
                print(f"  all of it: {kept}", flush=True)
            worlds, runs, attempts = worlds + 1, runs + outcome.runs, attempts + outcome.attempts
            kills += outcome.kills
            done += outcome.done
    print(f"{worlds} worlds, {broken} broken: {kills} kills, {runs} runs, {attempts} executions")
    print(", ".join(f"{what} {times}" for what, times in sorted(done.items())))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
