"""The child process of a `python` task with `isolation: process`: one call, its outcome left in a file.

Standard input brings the request, so that inputs with secrets stand in no argument and no environment variable.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import traceback
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec

from headrace.engine.ports.messages import ErrorInfo
from headrace.runners.context import RUNNING, Interrupted, Skip


class Request(msgspec.Struct, frozen=True):
    """What to call, and what `current()` shows."""

    function: str
    folder: str
    inputs: dict[str, Any]
    run: str
    workflow: str
    task: str
    map_path: list[int]
    attempt: int
    effect_key: str
    work_dir: str
    answer: str  # file


class Answer(msgspec.Struct, frozen=True):
    """See Outcome."""

    kind: str
    output: bytes | None = None
    error: ErrorInfo | None = None


class ChildView:
    """`current()` in the child."""

    def __init__(self, request: Request) -> None:
        self.run = request.run
        self.workflow = request.workflow
        self.task = request.task
        self.map_path = tuple(request.map_path)
        self.map_index = self.map_path[-1] if self.map_path else None
        self.attempt = request.attempt
        self.effect_key = request.effect_key
        self.work_dir = Path(request.work_dir)

    def log(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def view(self) -> ChildView:
        return self


def answer(request: Request) -> Answer:
    """Call the function and say how it went."""
    import asyncio
    import inspect

    from headrace.runners.functions import Function, InvalidInput, NotFound, load_function
    from headrace.runners.values import NoJson, encode_json, exception_error, failure

    try:
        function = Function(load_function(request.folder, request.function))
        positional, keywords = function.bind(request.inputs)
        value = function.fn(*positional, **keywords)
        if inspect.iscoroutine(value):
            value = asyncio.run(value)
        return Answer("succeeded", encode_json(value, function.to_json))
    except NotFound as error:
        return Answer("failed", error=failure("not_found", str(error), "NotFound").error)
    except InvalidInput as error:
        return Answer("failed", error=failure("invalid_input", str(error)).error)
    except NoJson as error:
        return Answer(
            "failed", error=failure("invalid_output", f"The task returned what is no JSON: {error}").error
        )
    except Skip as error:
        return Answer("skipped", error=exception_error(error))
    except BaseException as error:
        traceback.print_exc()
        return Answer("failed", error=exception_error(error))


def main() -> None:
    signal.signal(signal.SIGTERM, _interrupt)
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=Request)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    RUNNING.set(ChildView(request))
    data = msgspec.msgpack.encode(answer(request))
    # under another name first: a process that dies while writing has not answered
    part = Path(request.answer + ".part")
    part.write_bytes(data)
    part.rename(request.answer)
    sys.stdout.flush()
    sys.stderr.flush()
    # threads that the task left behind do not hold the worker up
    os._exit(0)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise Interrupted


if __name__ == "__main__":
    main()
