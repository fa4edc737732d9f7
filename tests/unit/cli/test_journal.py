"""Log lines of processes that serve: JSON for programs, lines for people, and nothing forged in either."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from headrace.cli import journal
from headrace.engine.ports.messages import Dispatch, Job, Limits
from headrace.runners.attempt import Attempt
from headrace.runners.context import RUNNING

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture(autouse=True)
def ours() -> Iterator[logging.Logger]:
    logger = logging.getLogger("headrace")
    before = (logger.level, list(logger.handlers), logger.propagate)
    logger.handlers.clear()
    yield logger
    logger.setLevel(before[0])
    logger.handlers[:], logger.propagate = before[1], before[2]


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


def test_json_names_what_it_is_about(capsys: pytest.CaptureFixture[str]) -> None:
    journal.keep()  # stderr of a test is no terminal
    job = Job("flow", "price", "python", {}, Limits())
    secret = {"with": {"password": "hunter2"}}
    attempt = Attempt((1, 1, 0, 0, 2), Dispatch(1, "r-1", 1, 0, 0, 2, 1, 1, job, secret, trace=TRACE), 0, 0.0)
    token = RUNNING.set(attempt)
    logging.getLogger("headrace.runners").warning("slow\nforged")
    RUNNING.reset(token)
    logging.getLogger("headrace.x").error("gone", extra={"part": 3, "password": "hunter2"})
    try:
        raise ValueError("why")
    except ValueError:
        logging.getLogger("headrace.x").exception("it failed")
    logging.getLogger("headrace.x").debug("no news")
    lines = said(capsys)
    first, second, third = map(json.loads, lines)
    assert (first["run"], first["task"], first["attempt"], first["trace"]) == ("r-1", "price", 2, TRACE[3:35])
    assert (first["level"], first["logger"], first["message"]) == (
        "warning",
        "headrace.runners",
        "slow\nforged",
    )
    assert first["time"].endswith("Z")
    assert (second["part"], "run" in second) == (3, False)
    assert third["exception"].endswith("ValueError: why")
    assert "hunter2" not in "".join(lines)


def test_a_line_for_people_cannot_be_forged(capsys: pytest.CaptureFixture[str]) -> None:
    journal.keep("text")
    logging.getLogger("headrace").info("name %s", "a\r\n2026 ERROR \x1b[31mforged\u2028x")
    (line,) = said(capsys)
    assert line.endswith(r"INFO name a\x0d\n2026 ERROR \x1b[31mforged\u2028x")
