"""Faults put into the code on purpose, one at a time: each must be caught by the test that it names.

    python -m tests.mutants              all of them, in a copy of the sources
    python -m tests.mutants NAME ...     some
    python -m tests.mutants --list       what there is

A mutant is a fault that somebody could make and that would hurt: see `why` of each. The list is kept true by
tests/unit/test_mutants.py; docs/design/mutation.md tells what it found.
"""

from tests.mutants.attempts import ATTEMPTS
from tests.mutants.backfills import BACKFILLS
from tests.mutants.edges import EDGES
from tests.mutants.engine import ENGINE
from tests.mutants.graphs import GRAPHS
from tests.mutants.limits import LIMITS
from tests.mutants.mutant import Mutant
from tests.mutants.runs import RUNS
from tests.mutants.schedules import SCHEDULES
from tests.mutants.waits import WAITS

MUTANTS: tuple[Mutant, ...] = (
    *ATTEMPTS,
    *GRAPHS,
    *RUNS,
    *ENGINE,
    *LIMITS,
    *SCHEDULES,
    *BACKFILLS,
    *EDGES,
    *WAITS,
)

__all__ = ["MUTANTS", "Mutant"]
