"""`headrace simulate`: the whole engine on virtual time, with faults from a seed. docs/design/simulation.md says how."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from headrace.cli.failure import Status, Stop
from headrace.cli.output import print_json, say

if TYPE_CHECKING:
    from headrace.testing.simulation.running import Tally
    from headrace.testing.simulation.world import Verdict

LAST = 60
"""Lines of the story that are shown of a failure."""


def simulate(
    *,
    seed: Annotated[int, Parameter(help="The first seed, or the one to look at.")] = 0,
    seeds: Annotated[int | None, Parameter(help="How many, from that one on [1].")] = None,
    jobs: Annotated[int, Parameter(help="Processes to spread them over.")] = 1,
    minutes: Annotated[float | None, Parameter(help="Go on with further seeds for so long.")] = None,
    story: Annotated[bool, Parameter(negative=(), help="Of one seed: tell all that happens.")] = False,
    json: Annotated[bool, Parameter(negative=(), help="One JSON object.")] = False,
) -> int:
    """Try the engine against faults, on virtual time.

    Engines, workers, a broker and a database live in this process, on a clock that jumps; what fails when follows from the seed.
    The same seed is the same world. One that breaks a promise is made small, shown with its last events, and the exit status is 1.
    """
    if jobs < 1 or (seeds is not None and seeds < 1):
        raise Stop("--jobs and --seeds are at least 1.")
    from headrace.testing.simulation.running import spread

    if seeds is None and minutes is None:
        return _one(seed, story, json)
    began = time.monotonic()
    until = None if minutes is None else began + minutes * 60
    tally = spread(seed, seeds, jobs, until, _progress)
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")
    took = time.monotonic() - began
    if json:
        print_json(_figures(tally, took))
    else:
        say(_summary(tally, took))
    for verdict in tally.failures[:1]:
        _explain(verdict)
    return Status.RUN_FAILED if tally.failures else Status.OK


def _one(seed: int, story: bool, json: bool) -> int:
    from headrace.testing.simulation import script
    from headrace.testing.simulation import simulate as run

    verdict = run(script(seed), told=story)
    if json:
        print_json(
            {
                "schema": 1,
                "seed": seed,
                "hash": verdict.hash,
                "virtual_seconds": round(verdict.seconds, 3),
                "broken": list(verdict.broken),
            }
        )
    else:
        for line in verdict.story:
            print(line)
        say(
            f"seed {seed}: {verdict.attempts} attempts in {verdict.seconds:.1f} virtual seconds, world {verdict.hash}"
        )
    if verdict.broken:
        _explain(verdict)
        return Status.RUN_FAILED
    return Status.OK


def _progress(tally: Tally) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{tally.seeds} seeds, {len(tally.failures)} failed ")
        sys.stderr.flush()


def _figures(tally: Tally, took: float) -> dict[str, object]:
    return {
        "schema": 1,
        "first": tally.first,
        "seeds": tally.seeds,
        "failed": [verdict.script.seed for verdict in tally.failures],
        "hash": tally.hash,
        "seconds": round(took, 3),
        "seeds_per_second": round(tally.seeds / took, 1),
        "seeds_per_cpu_second": round(tally.seeds / max(tally.cpu_seconds, 1e-9), 1),
        "virtual_seconds": round(tally.virtual_seconds, 1),
        "attempts": tally.attempts,
    }


def _summary(tally: Tally, took: float) -> str:
    end = tally.first + tally.seeds - 1
    return (
        f"seeds {tally.first} to {end}: {len(tally.failures)} broke a promise. {tally.seeds / took:.0f} seeds/s "
        f"({tally.seeds / max(tally.cpu_seconds, 1e-9):.0f} for each second of a core), {tally.attempts} attempts in "
        f"{tally.virtual_seconds / 3600:.1f} virtual hours, worlds {tally.hash}"
    )


def _explain(verdict: Verdict) -> None:
    """The failure as it is, and as small as it could be made."""
    from headrace.testing.simulation import simulate as run
    from headrace.testing.simulation.shapes import shape
    from headrace.testing.simulation.shrinking import shrink
    from headrace.testing.simulation.telling import spelled

    say(f"\nSeed {verdict.script.seed} broke a promise:")
    for line in verdict.broken[:5]:
        say(f"  {line}")
    say("Making it small …")
    small = run(shrink(verdict).script, told=True)
    say(small.script.describe())
    for asked in small.script.asked:
        say(f"w{asked.shape}, without {', '.join(asked.less)}:" if asked.less else f"w{asked.shape}:")
        say(spelled(shape(asked.shape).plan.workflow, asked.less))
    for line in small.story[-LAST:]:
        say(line)
    say(f"\nAgain: headrace simulate --seed {verdict.script.seed} --story")
