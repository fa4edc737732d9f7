"""What the engine raises for people ends a command with a message and a status, not with a stack trace."""

from __future__ import annotations

import pytest

from headrace.cli.failure import Status, report
from headrace.engine.shell.patient import PartLost


def test_a_database_that_another_process_took_over_is_no_fault(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(PartLost("parts 0 belong to another engine now."), ("run", "w.yaml")) is Status.SERVICE
    told = capsys.readouterr()
    assert told.out == ""
    assert "headrace run --resume" in told.err
    assert "Traceback" not in told.err


def test_what_nobody_expected_is_told_with_its_trace_and_the_command(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert report(ZeroDivisionError("oh"), ("run", "w.yaml")) is Status.FAULT
    told = capsys.readouterr().err
    assert "ZeroDivisionError: oh" in told
    assert "headrace run w.yaml" in told
