"""A workflow function's signature as `params`: JSON Schema by pydantic, defaults as JSON or templates."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from headrace.dsl.python.errors import BuildError
from headrace.dsl.python.places import here
from headrace.dsl.python.values import written
from headrace.engine.core.problems import Place
from headrace.engine.core.workflow import Json


class Param:
    """What a parameter says about itself, in `Annotated[date, Param(description="The day to load")]`.

    `keywords` are JSON Schema keywords as they are written there: `examples`, `minimum`, `maxLength`, …
    """

    def __init__(self, description: str | None = None, **keywords: Any) -> None:
        self.schema: dict[str, Any] = {} if description is None else {"description": description}
        self.schema.update(keywords)


def parameter_schemas(function: Callable[..., Any], place: Place) -> dict[str, Json]:
    """Name → JSON Schema, in the order of the signature.

    Raises BuildError (`invalid_parameter`) for `*args`, a type without JSON Schema, or one that cannot be found.
    """
    try:
        hints = get_type_hints(function, include_extras=True)
    except NameError as problem:
        raise _invalid(
            f"a parameter's type is not known when the workflow is built: {problem}",
            "Import it outside of `if TYPE_CHECKING`.",
            place,
        ) from None
    schemas = {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise _invalid(
                f'the parameter "{parameter.name}" has no name that a caller could give',
                "Name each one.",
                place,
            )
        schema = _schema(parameter.name, hints.get(parameter.name, Any), place)
        if parameter.default is not parameter.empty:
            schema["default"] = written(parameter.default, None)
        schemas[parameter.name] = schema
    return schemas


_SIMPLE: dict[Any, dict[str, Json]] = {
    Any: {},
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
}


def _schema(name: str, annotation: Any, place: Place) -> dict[str, Any]:
    extra: dict[str, Any] = {}
    if get_origin(annotation) is Annotated:
        for note in get_args(annotation)[1:]:
            if isinstance(note, Param):
                extra.update(note.schema)
    if (isinstance(annotation, type) and annotation in _SIMPLE) or annotation is Any:
        return dict(_SIMPLE[annotation])
    from pydantic import PydanticSchemaGenerationError, PydanticUserError, TypeAdapter
    from pydantic.errors import PydanticInvalidForJsonSchema

    try:
        schema = _untitled(TypeAdapter(annotation).json_schema())
    except (PydanticSchemaGenerationError, PydanticInvalidForJsonSchema, PydanticUserError) as problem:
        reason = str(problem).partition("\n")[0]
        raise _invalid(
            f'the parameter "{name}" has a type without JSON Schema: {reason}', None, place
        ) from None
    return {**schema, **{key: written(value, None) for key, value in extra.items()}}


def schema_of(name: str, annotation: Any) -> dict[str, Any]:
    """The JSON Schema of a type. Raises BuildError (`invalid_parameter`) when it has none."""
    return _schema(name, annotation, here())


_BY_NAME = frozenset(("properties", "$defs", "patternProperties", "dependentSchemas"))


def _untitled(schema: Any, names: bool = False) -> Any:
    """Without the titles that pydantic derives from names; `names`: the keys are names, not keywords."""
    if isinstance(schema, dict):
        return {
            key: _untitled(value, not names and key in _BY_NAME)
            for key, value in schema.items()
            if names or key != "title"
        }
    return [_untitled(item) for item in schema] if isinstance(schema, list) else schema


def _invalid(message: str, hint: str | None, place: Place) -> BuildError:
    return BuildError(message, hint, code="invalid_parameter", place=place)
