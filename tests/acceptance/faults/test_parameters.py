"""Parameters that are not what the workflow asks for, and odd ones that are."""

from __future__ import annotations

import json

from tests.acceptance.faults.documents import flow
from tests.acceptance.terminal import Terminal, refused

PARAMS = """\
params:
  n: {type: integer, default: 1, minimum: 0}
  x: {type: number, default: 1.5}
  text: {type: string, default: ""}
  day: {type: string, format: date, default: "2026-01-01"}
  list: {type: array, items: {type: integer}, default: []}
  any: {default: {}}
"""
ECHO = flow("  a: {noop: {}}\n", PARAMS) + (
    "output: {n: '${{ params.n }}', x: '${{ params.x }}', text: '${{ params.text }}', any: '${{ params.any }}'}\n"
)


def test_wrong_ones_are_all_told_at_once_and_nothing_is_kept(headrace: Terminal) -> None:
    """faults 11"""
    headrace.write("w.yaml", ECHO)
    given = ("n=-1", "x=[1]", "day=2026-02-30", "list=[1, true, 2.5]", "texts=hi")
    refused(
        headrace("run", "w.yaml", *(word for pair in given for word in ("-p", pair))),
        "n: it must be at least 0, not -1",
        "x: it takes a number, not a list",
        "day: it takes a date",
        "list[1]: it takes an integer, not true",
        "list[2]: it takes an integer, not the number 2.5",
        'has no parameter "texts"',
        'Did you mean "text"?',
    )
    unreadable = headrace("run", "w.yaml", "-p", "n=soon", "-p", "x={", "-p", "text")
    refused(unreadable, '-p n: "soon" is not JSON', '-p x: "{" is not JSON', 'not "text"', "Write it as JSON")
    assert headrace.runs() == []


def test_what_json_cannot_carry(headrace: Terminal) -> None:
    """faults 11: NaN and infinity, integers beyond 64 bits, half a character, nesting without end."""
    headrace.write("w.yaml", ECHO)
    done = headrace("run", "w.yaml", "-p", "x=NaN", "-p", "n=9223372036854775808", "-p", 'any="\\ud800"')
    refused(done, "x: NaN and infinity", "n: an integer beyond 64 bits", "any:", "half a surrogate pair")
    refused(headrace("run", "w.yaml", "-p", "x=-Infinity", "-p", "any=1e999"), "x: NaN", "any: NaN")
    headrace.write("deep.json", "[" * 50_000 + "]" * 50_000)
    deep = headrace("run", "w.yaml", "-p", "any=@deep.json", "-p", "list=@deep.json")
    refused(deep, "any: its lists and maps nest too deep", "list: its")
    assert len(deep.err) < 3000
    assert headrace.runs() == []


def test_a_file_of_parameters_that_is_none(headrace: Terminal) -> None:
    """faults 11"""
    headrace.write("w.yaml", ECHO)
    files: dict[str, str | bytes] = {
        "list.json": "[1]",
        "cut.json": '{"n": 1',
        "nan.json": '{"x": NaN}',
        "latin.json": b'{"text": "\xe9"}',
        "deep.json": '{"any": ' + "[" * 50_000,
    }
    for name, text in files.items():
        headrace.write(name, text)
        refused(headrace("run", "w.yaml", "--params", name), "x: NaN" if name == "nan.json" else name)
    refused(headrace("run", "w.yaml", "--params", "absent.json"), "absent.json")
    refused(headrace("run", "w.yaml", "-p", "text=@absent"), "absent")
    assert headrace.runs() == []


def test_odd_ones_arrive_exactly(headrace: Terminal) -> None:
    """faults 11: the largest integers, all of Unicode, control characters, a megabyte of text."""
    headrace.write("w.yaml", ECHO)
    text = "\u0000\x1b[31m\u202e\ufeff\U0001f600é̀'\"\\${{ }}\r\n\t" + "ü" * (1 << 19)
    values = {
        "n": 9223372036854775807,
        "x": 0.1,
        "text": text,
        "any": {
            "min": -9223372036854775808,
            "": None,
            "a.b": [[], {}, 1e-300, -0.5, 12345678901234567],
            "ключ": True,
        },
    }
    headrace.write("given.json", json.dumps(values))
    done = headrace("run", "w.yaml", "--params", "given.json", "--json")
    assert done.status == 0, done.err
    assert {name: done.document["params"][name] for name in values} == values
    assert done.document["output"] == values
    assert headrace.last().document == done.document
    assert headrace("replay", "last").status == 0
