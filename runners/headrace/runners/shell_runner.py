"""Runs `shell` tasks, and `python` tasks that want a process of their own."""

from __future__ import annotations

import codecs
import errno
import os
import signal
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from headrace.engine.ports.messages import ErrorInfo
from headrace.runners.attempt import Attempt, Outcome
from headrace.runners.child import Answer, Request
from headrace.runners.lastline import JSON_BEGINS, LastLine, LineTooLong
from headrace.runners.launching import Lost
from headrace.runners.processes import NotNoted, Processes
from headrace.runners.reporting import LARGEST_OUTPUT
from headrace.runners.secrets import task_environment
from headrace.runners.values import LONGEST_MESSAGE, NoJson, compact, decode_json, encode_json, failure

SKIPPED = 99
NOT_EXECUTABLE, NOT_FOUND = 126, 127


class ShellRunner:
    """Args:
    app_dir: the working folder of jobs that name none.
    state_folder: see Processes.
    """

    def __init__(self, app_dir: str, state_folder: Path | None) -> None:
        self._app_dir = app_dir
        self._processes = Processes(state_folder)

    def close(self) -> None:
        self._processes.close()

    async def run(self, attempt: Attempt) -> Outcome:
        """One attempt of a `shell` task; asyncio.CancelledError passes through when its processes have ended."""
        given, job = attempt.given, attempt.dispatch.job
        view = attempt.view()
        try:
            if given.get("argv") is not None:
                argv = [compact(argument) for argument in given["argv"]]
            else:
                argv = [*job.work["interpreter"], job.work["run"]]
            env = task_environment() | variables(given.get("env")) | view.environment()
        except (KeyError, TypeError, NoJson) as error:
            return failure("invalid_input", f"No command can be made of the inputs: {error}")
        folder = os.path.join(job.folder or self._app_dir, job.work.get("cwd") or "")
        ears = _Ears(attempt)
        try:
            status = await self._run(attempt, argv, env, folder, None, ears)
            if isinstance(status, Outcome):
                return status
            if status == 0:
                return _output(view.output_file, ears.stdout)
            if status == SKIPPED:
                info = ErrorInfo("exit", ears.complaint() or f"exit status {SKIPPED}", exit_code=SKIPPED)
                return Outcome("skipped", error=info)
            return _exited(status, ears.complaint())
        finally:
            ears.forget()

    async def run_python(self, attempt: Attempt) -> Outcome:
        """One attempt of a `python` task in a child process."""
        job, view = attempt.dispatch.job, attempt.view()
        folder = job.folder or self._app_dir
        try:
            env = task_environment() | variables(attempt.given.get("env")) | view.environment()
        except (TypeError, NoJson) as error:
            return failure("invalid_input", f"`env` cannot be made of the inputs: {error}")
        request = Request(
            job.work["function"],
            folder,
            attempt.given.get("with") or {},
            view.run,
            view.workflow,
            view.task,
            list(view.map_path),
            view.attempt,
            view.effect_key,
            str(view.work_dir),
            str(view.output_file),
        )
        # -P: files beside the workflow must not stand in for the standard library
        argv = [sys.executable, "-P", "-m", "headrace.runners.child"]
        ears = _Ears(attempt)
        try:
            status = await self._run(attempt, argv, env, folder, msgspec.json.encode(request), ears)
            complaint = ears.complaint()
        finally:
            ears.forget()
        if isinstance(status, Outcome):
            return status
        try:
            answer = msgspec.msgpack.decode(_bounded(view.output_file), type=Answer)
        except (FileNotFoundError, msgspec.MsgspecError):
            return _exited(status or -signal.SIGKILL, complaint)
        except NoJson as error:
            return failure("invalid_output", str(error))
        return Outcome(answer.kind, answer.output, answer.error)

    async def _run(
        self,
        attempt: Attempt,
        argv: list[str],
        env: dict[str, str],
        folder: str,
        feed: bytes | None,
        ears: _Ears,
    ) -> int | Outcome:
        try:
            return await self._processes.run(
                argv, env=env, cwd=folder, feed=feed, heard=ears.hear, grace=lambda: attempt.grace
            )
        except (OSError, ValueError) as error:
            return _not_started(error, argv[0], folder)
        except NotNoted as error:
            return failure("not_started", f"{argv[0]} was not started: {error}")
        except Lost as error:
            return Outcome("failed", error=ErrorInfo("lost", str(error), ["lost"], reason="lease_lost"))
        finally:
            ears.close()


class _Ears:
    """Hears what a process writes: into the attempt's log, and its last lines."""

    def __init__(self, attempt: Attempt) -> None:
        self._lines = attempt.lines()
        self._decoders = {
            name: codecs.getincrementaldecoder("utf-8")("replace") for name in ("stdout", "stderr")
        }
        self.stdout = LastLine(LARGEST_OUTPUT, JSON_BEGINS)
        self.stderr = LastLine(LONGEST_MESSAGE)
        self._last = {"stdout": self.stdout, "stderr": self.stderr}

    def hear(self, stream: str, data: bytes) -> None:
        if self._lines is not None:
            self._lines.write(stream, self._decoders[stream].decode(data))
        self._last[stream].hear(data)

    def complaint(self) -> str:
        """The last line of stderr, or its beginning."""
        return self.stderr.start().decode("utf-8", "replace")

    def close(self) -> None:
        """There is no more to hear."""
        if self._lines is not None:
            for stream, decoder in self._decoders.items():
                self._lines.write(stream, decoder.decode(b"", True))

    def forget(self) -> None:
        for line in self._last.values():
            line.close()


def variables(env: Any) -> dict[str, str]:
    """Environment variables of a task's `env`: text as it is, null left out, the rest as compact JSON."""
    if env is None:
        return {}
    if not isinstance(env, dict):
        raise TypeError("`env` is a map.")
    return {name: compact(value) for name, value in env.items() if value is not None}


def _output(file: Path, last: LastLine) -> Outcome:
    """The JSON in the output file; without one, the last line of stdout if that is JSON."""
    try:
        text = _bounded(file)
    except FileNotFoundError:
        text = b""
    except NoJson as error:
        return failure("invalid_output", str(error))
    if text.strip():
        try:
            return Outcome("succeeded", encode_json(decode_json(text)))
        except NoJson as error:
            return failure("invalid_output", f"$HEADRACE_OUTPUT holds {error}")
    try:
        line = last.whole()
    except LineTooLong:
        return failure(
            "invalid_output",
            f"The last line of stdout begins as JSON does and has more than the {LARGEST_OUTPUT} bytes that an output "
            "may have. Put the result into a file or a bucket and print where it is; if this line is no result, print "
            "a short one after it.",
        )
    if line:
        with suppress(NoJson):
            return Outcome("succeeded", encode_json(decode_json(line)))
    return Outcome("succeeded")


def _bounded(file: Path) -> bytes:
    """What a task left in its output file. Raises FileNotFoundError; NoJson when it is no plain file or too large."""
    try:
        handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise NoJson(f"the output file cannot be read: {error.strerror}.") from error
    with os.fdopen(handle, "rb") as opened:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise NoJson("the output file is no plain file.")
        if found.st_size > LARGEST_OUTPUT:
            raise NoJson(f"the output has {found.st_size} bytes; {LARGEST_OUTPUT} are allowed.")
        return opened.read(LARGEST_OUTPUT)


def _not_started(error: Exception, command: str, folder: str) -> Outcome:
    """A failure before there was a process."""
    if not isinstance(error, OSError) or error.errno == errno.E2BIG:
        return failure("invalid_input", f"No command can be made of the inputs: {error}.")
    if not os.path.isdir(folder):
        return failure("not_found", f"There is no folder {folder}.", "NotFound")
    if isinstance(error, (FileNotFoundError, PermissionError, NotADirectoryError)):
        return failure("not_found", f"{command} cannot be executed: {error.strerror}.", "NotFound")
    return failure("not_started", f"{command} cannot be started: {error.strerror}.")


def _exited(status: int, last_line: str) -> Outcome:
    """A failure told by the exit status."""
    if status < 0:
        try:
            name = signal.Signals(-status).name
        except ValueError:
            name = f"signal {-status}"
        text, code = f"killed by {name}", 128 - status
    else:
        text, code = f"exit status {status}", status
    message = f"{text}: {last_line}" if last_line else text
    if code in (NOT_EXECUTABLE, NOT_FOUND):
        error = ErrorInfo(
            "exit", message[:LONGEST_MESSAGE], ["exit"], code, reason="not_found", retryable=False
        )
    else:
        error = ErrorInfo("exit", message[:LONGEST_MESSAGE], ["exit"], code)
    return Outcome("failed", error=error)
