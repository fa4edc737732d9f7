"""`headrace version`."""

from __future__ import annotations

import platform
from importlib.metadata import version as version_of
from typing import Annotated

from cyclopts import Parameter

from headrace.cli.output import print_json


def version(*, json: Annotated[bool, Parameter(help="For programs.")] = False) -> int:
    """The version of Headrace and of Python."""
    if json:
        print_json({"schema": 1, "headrace": version_of("headrace"), "python": platform.python_version()})
    else:
        print(f"headrace {version_of('headrace')} (Python {platform.python_version()})")
    return 0
