"""Values that expressions read: a cache bounded by bytes, and the loading of artifacts.

The cache is keyed by (run, generation, key) and holds only task runs that are final, which no longer change within a
generation; a rerun reads under a new generation.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Iterable
from typing import Generic, TypeVar

import msgspec

from headrace.engine.core.decision import Value
from headrace.engine.core.evaluation import Artifact
from headrace.engine.core.keys import Key
from headrace.engine.core.workflow import Json
from headrace.engine.ports.artifacts import ArtifactMissing, Artifacts

_logger = logging.getLogger(__name__)

MIB = 1 << 20
OVERHEAD = 200
"""Bytes that an entry costs beside its payload, roughly."""
PARSED = 4
"""How many times larger a parsed value is than its JSON text, roughly."""

_K = TypeVar("_K")
_V = TypeVar("_V")


class Bounded(Generic[_K, _V]):
    """A mapping that forgets what was used least recently once its entries weigh more than `limit` bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._entries: OrderedDict[_K, tuple[_V, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size(self) -> int:
        """Bytes, roughly."""
        return self._size

    def get(self, key: _K) -> _V | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def put(self, key: _K, value: _V, size: int) -> None:
        """Keep a value of `size` bytes; one larger than the limit is not kept."""
        before = self._entries.pop(key, None)
        if before is not None:
            self._size -= before[1]
        weight = size + OVERHEAD
        if weight > self._limit:
            return
        self._entries[key] = value, weight
        self._size += weight
        while self._size > self._limit:
            _, (_, gone) = self._entries.popitem(last=False)
            self._size -= gone

    def clear(self) -> None:
        self._entries.clear()
        self._size = 0


class ValueCache:
    """Values by task run, and artifacts' contents by digest. `limit`: bytes for each of the two."""

    def __init__(
        self, artifacts: Artifacts | None, *, limit: int = 16 * MIB, largest: int = 16 * MIB
    ) -> None:
        self._artifacts = artifacts
        self._largest = largest
        self._values: Bounded[tuple[int, int, Key], Value] = Bounded(limit)
        self._contents: Bounded[str, Json] = Bounded(limit)

    def get(self, run: int, generation: int, key: Key) -> Value | None:
        return self._values.get((run, generation, key))

    def put(self, run: int, generation: int, key: Key, value: Value, size: int) -> None:
        """Keep a final task run's value; `size` is that of its JSON text. Its inputs are not kept."""
        if value.inputs is not None:
            value = value._replace(inputs=None)
        self._values.put((run, generation, key), value, size * PARSED)

    def content(self, artifact: Artifact) -> tuple[bool, Json]:
        """Whether the artifact's content is at hand, and the content."""
        found = self._contents.get(artifact.digest)
        return (False, None) if found is None else (True, found[0])

    async def load(self, artifact: Artifact) -> Json | Artifact:
        """The artifact's content as JSON.

        One that is larger than may be loaded, missing or damaged stays an Artifact: the expression that reads it
        then fails with that as its reason.
        """
        known, content = self.content(artifact)
        if known:
            return content
        if self._artifacts is None or artifact.size > self._largest:
            return artifact
        try:
            data = await self._artifacts.get(artifact)
            content = msgspec.json.decode(data)
        except (ArtifactMissing, msgspec.DecodeError) as problem:
            _logger.warning("artifact %s cannot be read: %s", artifact.digest, problem)
            return artifact
        self._contents.put(artifact.digest, (content,), len(data) * PARSED)
        return content

    async def contents(self, artifacts: Iterable[Artifact]) -> dict[str, Json]:
        """By digest, of those that can be loaded."""
        wanted = list(artifacts)
        loaded = await asyncio.gather(*map(self.load, wanted))
        return {
            artifact.digest: content
            for artifact, content in zip(wanted, loaded, strict=True)
            if not isinstance(content, Artifact)
        }

    def clear(self) -> None:
        self._values.clear()
        self._contents.clear()
