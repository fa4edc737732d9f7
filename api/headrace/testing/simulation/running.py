"""Many seeds, one after the other, on as many cores as are given."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from hashlib import blake2b
from multiprocessing import get_context

from headrace.testing.simulation.script import script
from headrace.testing.simulation.world import Verdict, simulate

CHUNK = 50
"""Seeds that are handed out at once."""

COLLECT_EVERY = 50


@dataclass(slots=True)
class Tally:
    """What came of some seeds. `hashes`: of each seed's world, in the order of the seeds; `failures`: what broke."""

    first: int
    seeds: int = 0
    virtual_seconds: float = 0.0
    callbacks: int = 0
    attempts: int = 0
    cpu_seconds: float = 0.0
    hashes: list[str] = field(default_factory=list)
    failures: list[Verdict] = field(default_factory=list)

    @property
    def hash(self) -> str:
        """Of all worlds together."""
        return blake2b("".join(self.hashes).encode(), digest_size=8).hexdigest()

    def add(self, other: Tally) -> None:
        self.seeds += other.seeds
        self.virtual_seconds += other.virtual_seconds
        self.callbacks += other.callbacks
        self.attempts += other.attempts
        self.cpu_seconds += other.cpu_seconds
        self.hashes += other.hashes
        self.failures += other.failures


def run(first: int, seeds: int) -> Tally:
    """Those seeds, here."""
    tally = Tally(first)
    began = time.process_time()
    collecting = gc.isenabled()
    gc.disable()
    try:
        for seed in range(first, first + seeds):
            verdict = simulate(script(seed))
            tally.seeds += 1
            tally.virtual_seconds += verdict.seconds
            tally.callbacks += verdict.steps
            tally.attempts += verdict.attempts
            tally.hashes.append(verdict.hash)
            if verdict.broken:
                tally.failures.append(verdict)
            if seed % COLLECT_EVERY == 0:
                gc.collect()
                gc.freeze()  # workflows and their plans stay: they need not be looked at again
    finally:
        if collecting:
            gc.enable()
    tally.cpu_seconds = time.process_time() - began
    return tally


def spread(
    first: int, seeds: int | None, jobs: int, until: float | None, told: Callable[[Tally], object]
) -> Tally:
    """Seeds from `first` on, in `jobs` processes, as long as there are any and it is not `until` (monotonic seconds) yet, and until
    one fails. `told` is called with the whole tally, time and again."""
    whole = Tally(first)
    if jobs == 1:
        for start, count in _chunks(first, seeds):
            if _over(whole, until):
                break
            whole.add(run(start, count))
            told(whole)
        return whole
    chunks = _chunks(first, seeds)
    done: dict[int, Tally] = {}
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        going: set[Future[Tally]] = set()
        while True:
            while len(going) < jobs * 2 and not _over(whole, until):
                chunk = next(chunks, None)
                if chunk is None:
                    break
                going.add(pool.submit(run, *chunk))
            if not going:
                break
            ended, going = wait(going, return_when=FIRST_COMPLETED)
            for future in ended:
                tally = future.result()
                done[tally.first] = tally
                whole.add(tally)
            told(whole)
    whole.hashes = [hash for at in sorted(done) for hash in done[at].hashes]
    return whole


def _over(whole: Tally, until: float | None) -> bool:
    return bool(whole.failures) or (until is not None and time.monotonic() >= until)


def _chunks(first: int, seeds: int | None) -> Iterator[tuple[int, int]]:
    at = first
    end = None if seeds is None else first + seeds
    while end is None or at < end:
        count = CHUNK if end is None else min(CHUNK, end - at)
        yield at, count
        at += count
