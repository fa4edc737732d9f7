"""The command: see bench/soak/__init__.py."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import asyncpg
import uvloop

from bench.cluster import Cluster, Process, servers
from bench.say import say
from bench.soak.load import Kind, Load, register
from bench.soak.plot import drawn
from bench.soak.sampling import Sample, Sampler
from bench.soak.verdict import LEAST, judged

ENDS_WITHIN = 120.0
"""Seconds from the last request until every run has ended."""

_ENDED = """
SELECT workflow, state, count(*) AS runs FROM runs GROUP BY workflow, state"""
_UNFINISHED = "SELECT count(*) FROM runs WHERE finished_at IS NULL"


async def soak(
    minutes: float, every: float, rate: float, seed: int, out: Path | None
) -> tuple[list[Sample], list[str]]:
    """What was sampled, and what did not come to what it should."""
    async with servers() as where, Cluster(where) as cluster:
        processes = await _started(cluster)
        kinds = await register(cluster)
        eyes = await asyncpg.connect(cluster.url)
        load = Load(cluster, kinds, rate, seed)
        loading = asyncio.create_task(load.go_on())
        try:
            samples = await _watched(Sampler(eyes, processes), minutes, every, loading, out)
        finally:
            await eyes.close()
            loading.cancel()
            with suppress(asyncio.CancelledError):
                await loading
        wrong = await _wrong(cluster, kinds, load)
    return samples, wrong


async def _started(cluster: Cluster) -> list[Process]:
    engines = [await cluster.engine(f"engine-{number}") for number in (1, 2)]
    await cluster.owned(*engines)
    workers = [await cluster.worker(f"worker-{number}") for number in (1, 2)]
    return [*engines, *workers]


async def _watched(
    sampler: Sampler, minutes: float, every: float, loading: asyncio.Task[None], out: Path | None
) -> list[Sample]:
    """Look every so many seconds until the time is up. Raises what ended the load."""
    samples: list[Sample] = []
    end = time.monotonic() + minutes * 60
    with (out or Path("/dev/null")).open("w") as lines:
        while time.monotonic() < end:
            await asyncio.wait([loading], timeout=every)
            if loading.done():
                await loading
            samples.append(await sampler.look())
            text = json.dumps({name: round(value, 4) for name, value in samples[-1].items()})
            print(text, file=lines if out is not None else sys.stdout, flush=True)
    return samples


async def _wrong(cluster: Cluster, kinds: Sequence[Kind], load: Load) -> list[str]:
    """What is not as it should be once nothing more is asked for."""
    end = time.monotonic() + ENDS_WITHIN
    while left := await cluster.look(_UNFINISHED):
        if time.monotonic() > end:
            return [f"{left} runs have not ended {ENDS_WITHIN:.0f} s after the last was asked for"]
        await asyncio.sleep(0.5)
    found = []
    ended = {(row["workflow"], row["state"]): row["runs"] for row in await cluster.db.fetch(_ENDED)}
    for kind, asked in zip(kinds, load.asked, strict=True):
        name = kind.workload.plan.workflow.name
        as_it_should = ended.get((name, int(kind.ends)), 0)
        if as_it_should != asked:
            found.append(f"of {asked} runs of {name} {as_it_should} are {kind.ends.word}")
    return found


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.soak", description="Does anything grow under a steady load?"
    )
    parser.add_argument("--minutes", type=float, default=60.0, help="how long (60)")
    parser.add_argument("--every", type=float, default=60.0, help="seconds between two looks (60)")
    parser.add_argument("--rate", type=float, default=10.0, help="runs a second (10)")
    parser.add_argument("--seed", type=int, default=1, help="of the load (1)")
    parser.add_argument("--out", type=Path, help="where the looks are written, as JSON lines; else to stdout")
    parser.add_argument("--plot", type=Path, help="where the picture is drawn, as SVG")
    asked = parser.parse_args(arguments)
    if asked.minutes * 60 < asked.every * LEAST:
        parser.error(
            f"{LEAST} looks are needed: --minutes {asked.minutes:g} are too few for --every {asked.every:g}."
        )
    samples, wrong = uvloop.run(soak(asked.minutes, asked.every, asked.rate, asked.seed, asked.out))
    grown = judged(samples)
    if asked.plot is not None:
        asked.plot.write_text(drawn(samples))
    for line in [*wrong, *map(str, grown)]:
        print(line, file=sys.stderr)
    last = samples[-1]
    names = [each.name for each in grown]
    say(measure="soak", minutes=last["minute"], runs=int(last["runs"]), grown=names, wrong=len(wrong))
    return 1 if grown or wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
