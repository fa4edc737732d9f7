"""Graphs as pictures: the formats that one route answers in, by `format`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from litestar import MediaType
from litestar.openapi.spec import OpenAPIMediaType, Operation, Schema
from litestar.openapi.spec.enums import OpenAPIType
from litestar.openapi.spec.response import OpenAPIResponse

Format = Literal["json", "mermaid", "dot", "svg", "text"]
MEDIA = {
    "json": MediaType.JSON.value,
    "svg": "image/svg+xml",
    "mermaid": MediaType.TEXT.value,
    "dot": "text/vnd.graphviz",
    "text": MediaType.TEXT.value,
}


@dataclass
class Drawn(Operation):
    """The operation that answers with JSON or with a drawing."""

    def __post_init__(self) -> None:
        answer = (self.responses or {}).get("200")
        if isinstance(answer, OpenAPIResponse) and answer.content is not None:
            text = OpenAPIMediaType(schema=Schema(type=OpenAPIType.STRING))
            for kind in sorted(set(MEDIA.values()) - {MEDIA["json"]}):
                answer.content.setdefault(kind, text)
