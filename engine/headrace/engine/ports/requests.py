"""job-requests: what anyone may ask for there, and how a message of it reaches whoever answers."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import Meta

Word = Annotated[str, Meta(min_length=1, max_length=500, pattern=r"^[^\x00]*$")]
"""Text that a database can keep."""

OnConflict = Literal["use_existing", "reject", "cancel_existing"]


class RunRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A run that somebody asks for. Only `workflow` is needed.

    `params`: as the workflow declares them. `version`: of the workflow; the newest when left out. `key`: a business key, of
    which one run of the workflow lives at a time; `on_conflict` says what happens when one does. `idempotency`: unique
    for ever within the project; asked again with it, the run is there already. `requested_by`: for the record. What is not
    named here is refused, for a misspelt field would else be a run that nobody has asked for.
    """

    workflow: Word
    params: dict[str, Any] = {}
    version: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None
    priority: Literal["high", "normal", "low"] | None = None
    key: Word | None = None
    on_conflict: OnConflict = "use_existing"
    idempotency: Word | None = None
    project: Word | None = None
    requested_by: Word | None = None
    v: Literal[1] = 1
    type: Literal["RunRequest"] = "RunRequest"


class Asked(NamedTuple):
    """A message of job-requests as it came. `stamp`: its time in Kafka, milliseconds since the epoch. `traceparent`: of its
    headers, where there is one that holds."""

    topic: str
    partition: int
    offset: int
    stamp: int
    body: bytes
    traceparent: str | None = None
