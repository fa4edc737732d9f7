"""Query parameters that several routes take. Their limits are said to Litestar itself: those that a type carries are not looked at
where the type is `X | None`."""

from __future__ import annotations

from typing import Annotated

from litestar.params import QueryParameter

from headrace.api.shapes.runs import NAME, TEXT
from headrace.api.shapes.tasks import INDEXES

Indexes = Annotated[str | None, QueryParameter(pattern=INDEXES, description="Outermost first: 2,1")]
"""Of one iteration of a map."""
Named = Annotated[str | None, QueryParameter(pattern=NAME)]
Words = Annotated[str | None, QueryParameter(min_length=1, max_length=500, pattern=TEXT)]
"""Text that a database can keep."""
