"""Runs `python` tasks (and the Python form of `switch`) in this process."""

from __future__ import annotations

import asyncio
import inspect
import traceback
from collections.abc import Callable
from contextvars import copy_context
from pathlib import Path
from typing import Any

from headrace.runners.attempt import NOTHING, Attempt, Outcome
from headrace.runners.context import Interrupted, Skip
from headrace.runners.functions import Function, Functions, InvalidInput, NotFound
from headrace.runners.values import NoJson, encode_json, exception_error, failure, text_of

_OWN_FOLDER = str(Path(__file__).parent)


def find(functions: Functions, attempt: Attempt) -> Function | Outcome:
    """The attempt's function, or why there is none. Imports user code: never on the worker's own loop."""
    job = attempt.dispatch.job
    try:
        return functions.find(job.folder, job.work["function"])
    except NotFound as error:
        return failure("not_found", str(error), "NotFound")
    except (Exception, SystemExit) as error:  # whatever the user's module does when it is imported
        return failed(attempt, error)


def call(attempt: Attempt, function: Function) -> Outcome:
    """Call a function on this thread; `context.RUNNING` names the attempt. Interrupted passes through."""
    try:
        given = attempt.given.get("with")
        if given or function.needs_inputs:
            positional, keywords = function.bind(given or {})
            value = copy_context().run(function.fn, *positional, **keywords)
        else:
            value = copy_context().run(function.fn)
        if value is None:
            return NOTHING
        if inspect.iscoroutine(value):
            value = _drive(value)
        return succeeded(value, function.to_json)
    except InvalidInput as error:
        return failure("invalid_input", str(error))
    except Interrupted:
        raise
    except BaseException as error:
        return failed(attempt, error)


async def call_async(attempt: Attempt, function: Function) -> Outcome:
    """Call a coroutine function. CancelledError passes through when the attempt was asked to stop."""
    try:
        given = attempt.given.get("with")
        if given or function.needs_inputs:
            positional, keywords = function.bind(given or {})
            value = await function.fn(*positional, **keywords)
        else:
            value = await function.fn()
        return NOTHING if value is None else succeeded(value, function.to_json)
    except InvalidInput as error:
        return failure("invalid_input", str(error))
    except asyncio.CancelledError as error:
        if attempt.stopping is not None:
            raise
        return failed(attempt, error)
    except BaseException as error:
        return failed(attempt, error)


def succeeded(value: Any, to_json: Callable[[Any], Any]) -> Outcome:
    """The outcome of a returned value."""
    try:
        return Outcome("succeeded", encode_json(value, to_json))
    except NoJson as error:
        if inspect.isgenerator(value):
            value.close()
        return failure("invalid_output", f"The task returned what is no JSON: {error}")


def failed(attempt: Attempt, error: BaseException) -> Outcome:
    """The outcome of an exception; its traceback goes to the attempt's log."""
    if isinstance(error, Skip):
        return Outcome("skipped", error=exception_error(error))
    lines = attempt.lines()
    if lines is not None:
        lines.line("stderr", _traceback(error))
    return Outcome("failed", error=exception_error(error))


def _traceback(error: BaseException) -> str:
    """As Python prints it, without our own frames at the top."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_OWN_FOLDER):
        trace = trace.tb_next
    try:
        return "".join(traceback.format_exception(type(error), error, trace)).rstrip()
    except Exception:  # a user's __str__ or __repr__ may raise anything
        return f"{type(error).__name__}: {text_of(error)}"


def _drive(coroutine: Any) -> Any:
    """A plain function returned a coroutine (a lambda or partial around an async one)."""
    return asyncio.run(coroutine)
