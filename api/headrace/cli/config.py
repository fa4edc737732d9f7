"""`headrace config show`: every setting, its value, and where it comes from."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from headrace.cli.output import print_json, print_table
from headrace.cli.settings import Settings
from headrace.cli.where import HERE, Where


def show(*, where: Where = HERE, json: Annotated[bool, Parameter(help="For programs.")] = False) -> int:
    """Every setting, its value and its source."""
    loaded = where.load()
    if json:
        print_json(
            {
                "schema": 1,
                "settings": [
                    {"name": name, "value": loaded.shown(name), "source": loaded.origins[name]}
                    for name in Settings.model_fields
                ],
            }
        )
        return 0
    print_table(
        ("setting", "value", "source", "meaning"),
        (
            (name, loaded.shown(name), loaded.origins[name], field.description)
            for name, field in Settings.model_fields.items()
        ),
        empty="",
    )
    return 0
