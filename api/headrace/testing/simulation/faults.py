"""What a simulated world does wrong: how often the store and the broker fail, and what happens to whom at which moment.

Everything is drawn once, before the simulation begins (`script`), so that a part of it can be left out and the rest tried again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Livelock(Exception):
    """Callbacks follow upon callbacks and time does not pass."""


@dataclass(frozen=True, slots=True)
class Weather:
    """How often each small fault comes, as a share of all calls or messages, in 0..1. Times are virtual seconds.

    Of the store: `slow` (up to `slowness`), `refused` (an error, nothing was done), `unanswered` (done or not, and nobody says
    which). Of the broker: `late` (up to `lateness`), `doubled` (side by side), `repeated` (sent again behind others, for the
    acknowledgement was lost); `copies`: how many more there are of one that comes double.
    """

    slow: float = 0.0
    slowness: float = 0.05
    refused: float = 0.0
    unanswered: float = 0.0
    late: float = 0.0
    lateness: float = 0.05
    doubled: float = 0.0
    repeated: float = 0.0
    copies: int = 1


CALM = Weather()


class Act(NamedTuple):
    """Something happens at a time. `whom`: the number of a process or run, modulo how many there are. `what`:

    - to engines and workers: `kill` (after `amount` more callbacks), `stop` (after `amount` more callbacks) and, `seconds` later, go on; `stale` (the
      same, but it goes on as soon as somebody else has claimed a part, or after `seconds`); `retire` (SIGTERM);
      `rename` (killed, and another comes with a new name). What is killed or retired comes back after `seconds`.
    - to all: `dark` (the broker brings nothing for `seconds`), `away` (the store refuses everything for `seconds`), `power`
      (every process dies at once and comes back).
    - to clocks: `step` (wall time jumps by `seconds`, on one worker, or for engines that start from then on).
    - by a client: `cancel kill_run pause resume rerun rerun_task task requeue`; with `seconds` the same is asked for again so much later, for whoever asked
      never heard that it was done. Who requeues waits for the run's end.
    """

    at: float
    what: str
    whom: int = 0
    amount: int = 0
    seconds: float = 0.0
