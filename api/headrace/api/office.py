"""What the routes work with: one open database and the ways to what stands around it. No Litestar here.

The API never decides about a run: it writes facts and commands into the inbox, nudges the engine that owns the part, and
reads. In `headrace dev` that engine lives in this process; in a cluster, anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from headrace.api.asking.authoring import Desk
from headrace.api.asking.room import Room
from headrace.api.lately import Lately
from headrace.api.live.sharing import Live
from headrace.api.showing.attempts import AttemptBook
from headrace.api.showing.snapshots import Snapshots
from headrace.engine.core.evaluation import Evaluator
from headrace.engine.ports.access import AccessStore
from headrace.engine.ports.acts import AuditStore
from headrace.engine.ports.artifacts import Artifacts, LogReader
from headrace.engine.ports.cache import Cache
from headrace.engine.ports.store import Store
from headrace.engine.shell.children import CheckParams
from headrace.engine.shell.plans import Plans


class ApiStore(Store, AccessStore, AuditStore, Protocol):
    """A store that knows people too. Both databases do."""


@dataclass(frozen=True, slots=True)
class Office:
    """Made by the process entry, closed by it too.

    `nudge`: tells whoever owns the part that something lies in its inbox; never blocks, never raises. `now`: seconds since
    the epoch, by the database's clock where there is a cluster. `embedded`: the engine and its worker live in this process.
    """

    store: ApiStore
    plans: Plans
    artifacts: Artifacts
    logs: LogReader
    cache: Cache
    evaluator: Evaluator
    check: CheckParams
    nudge: Callable[[int], None]
    now: Callable[[], float]
    embedded: bool = False
    project: str = "default"
    folder: str | None = None
    """Embedded: where the workflows lie, beside which their modules and children are looked up."""
    folders: Mapping[str, str] = field(default_factory=dict)
    """The same of workflows that lie in a folder of their own, by name."""
    desk: Desk = field(default_factory=Desk)
    """Where texts of workflows are checked."""
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """Values that no answer may hold."""
    kafka: Callable[[], str | None] | None = None
    """Why Kafka cannot be used at the moment, or None; None itself where there is no Kafka."""
    has_redis: bool = False
    room: Room | None = None
    """Whether there is room for another run to begin; None where the engine is in this process."""
    checked: Lately = field(default_factory=Lately)
    """How everything stood a moment ago."""
    depths: Callable[[], Mapping[str, tuple[int, int, int]]] | None = None
    """By queue, how many ready task runs wait in the line by class of priority (high, normal, low); None where no engine is in
    this process."""
    pools: Mapping[str, int] = field(default_factory=dict)
    """Sizes of pools that are settings of this process, whose engine goes by them where the store says nothing."""
    watched: tuple[Callable[[], Iterable[Any]], ...] = ()
    """Sources of metrics beside the API's own: of an engine and a worker in this process."""
    snapshots: Snapshots = field(init=False)
    attempts: AttemptBook = field(init=False)
    """What was read of runs and is read again by the next who looks."""
    live: Live = field(init=False)
    """Who follows what."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "snapshots", Snapshots(self.store, self.plans))
        object.__setattr__(self, "attempts", AttemptBook(self.store))
        object.__setattr__(self, "live", Live(self.store, self.plans, self.cache, self.logs, self.secrets))

    async def parts(self) -> int:
        """On how many parts runs are spread: an engine in this process decides for one alone."""
        return 1 if self.embedded else await self.store.parts()

    def folder_of(self, workflow: str) -> str | None:
        """Where a run of the workflow looks for modules and children."""
        return self.folders.get(workflow, self.folder)
