"""A run as it moves, on stderr: redrawn in place in a terminal, line by line in a pipe, or one JSON object a line."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from headrace.cli.board import BAD, FINAL, ON_THE_WAY, Board
from headrace.cli.output import (
    SIGNS,
    clock_time,
    coloured,
    instant,
    interactive,
    paint,
    print_line,
    printable,
    say,
    span,
)
from headrace.engine.core.plan import Plan

if TYPE_CHECKING:
    from rich.live import Live
    from rich.text import Text

TALKATIVE = 300
"""After so many plain lines only what failed or is retried is told, with a count now and then."""


class Change(Protocol):
    """A move of the run (`task` None) or of one task run, named as written: `price[7]`."""

    @property
    def at(self) -> float: ...
    @property
    def task(self) -> str | None: ...
    @property
    def before(self) -> str: ...
    @property
    def after(self) -> str: ...
    @property
    def reason(self) -> str | None: ...
    @property
    def attempt(self) -> int: ...


class Display(Protocol):
    """Something that follows changes while it is entered."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def show(self, change: Change) -> None: ...
    def remark(self, text: str) -> None: ...


class Quiet:
    """Shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, change: Change) -> None:
        pass

    def remark(self, text: str) -> None:
        say(text)


class Stream(Quiet):
    """One JSON object a line on stdout, for programs."""

    def __init__(self, run: str) -> None:
        self.run = run

    def show(self, change: Change) -> None:
        print_line(
            {
                "run": self.run,
                "at": instant(change.at),
                "task": change.task,
                "before": change.before,
                "after": change.after,
                "reason": change.reason,
                "attempt": change.attempt,
            }
        )


class Plain(Quiet):
    """One line per step worth telling; what a log file should hold."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self.told = 0
        self._next_count = 0.0

    def show(self, change: Change) -> None:
        if change.task is None:
            return
        line = self.board.apply(change.task, change.after, change.at, change.reason, change.attempt)
        important = change.after == "retrying" or change.after in BAD
        if self.told >= TALKATIVE and not important:
            if change.at >= self._next_count:
                self._next_count = change.at + 5
                say(f"{clock_time(change.at)}   {summary(self.board)}")
            return
        if told := _told(change, line.began if "[" not in change.task else None):
            self.told += 1
            name = printable(change.task)
            say(f"{clock_time(change.at)} {SIGNS[change.after]} {name:<24} {told}")


class Screen(Quiet):
    """Redrawn in place eight times a second at most; the lines that stay are printed above it."""

    def __init__(self, board: Board, title: str, started: float, clock: Callable[[], float]) -> None:
        self.board, self.title, self.started, self.clock = board, title, started, clock
        self._live: Live | None = None

    def __enter__(self) -> Self:
        from rich.console import Console
        from rich.live import Live

        self._live = Live(
            console=Console(stderr=True, highlight=False, markup=False, emoji=False),
            get_renderable=self._picture,
            refresh_per_second=8,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=True,
        )
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def show(self, change: Change) -> None:
        if change.task is None:
            self.board.state = change.after
            return
        self.board.apply(change.task, change.after, change.at, change.reason, change.attempt)
        if change.after in ("retrying", "failed"):
            told = _told(change, None)
            sign = paint(SIGNS[change.after], change.after, colour=coloured(sys.stderr))
            self.remark(f"{clock_time(change.at)} {sign} {printable(change.task)}  {told}")

    def remark(self, text: str) -> None:
        if self._live is None:
            say(text)
        else:
            self._live.console.print(_text(text))

    def _picture(self) -> Text:
        now = self.clock()
        room = max(shutil.get_terminal_size().lines - 4, 3)
        head = f"{self.title}  {span(now - self.started)}  {bar(self.board)} {summary(self.board)}"
        lines = [head, *self.board.lines(now, room, colour=coloured(sys.stderr))]
        return _text("\n".join(lines))


def display(
    plan: Plan | None,
    *,
    run: str,
    title: str,
    started: float,
    clock: Callable[[], float],
    json: bool,
    watch: bool = True,
) -> Display:
    """The display that fits where the output goes."""
    if json:
        return Stream(run) if watch else Quiet()
    if interactive():
        return Screen(Board(plan), title, started, clock)
    return Plain(Board(plan))


def summary(board: Board) -> str:
    """`5 of 12 tasks, 3 running`."""
    running = board.running
    return f"{board.done} of {board.total} tasks" + (f", {running} running" if running else "")


def bar(board: Board, width: int = 20) -> str:
    filled = width * board.done // max(board.total, 1)
    return "━" * filled + "╌" * (width - filled)


def _told(change: Change, began: float | None) -> str | None:
    why = f" ({change.reason})" if change.reason else ""
    nth = f", attempt {change.attempt}" if change.attempt > 1 else ""
    if change.after == "retrying":
        return f"attempt {change.attempt} failed{why}, will try again"
    if change.after in FINAL:
        took = f"  {span(change.at - began)}" if began is not None else ""
        return f"{change.after}{why}{nth}{took}"
    if change.after in ON_THE_WAY:
        return f"started{nth}" if change.after == "running" else None
    if change.after in ("waiting", "queued"):
        return f"{change.after}{why}"
    return None


def _text(text: str) -> Text:
    from rich.text import Text

    return Text.from_ansi(text, no_wrap=True, overflow="ellipsis")
