"""What tasks return: small, large, too large, and no JSON at all."""

from __future__ import annotations

import pytest

from tests.acceptance.faults.documents import flow
from tests.acceptance.terminal import Terminal

BODIES = """\
import math

class Opaque:
    pass

def text(size: int):
    return "x" * size

def size(text: str) -> int:
    return len(text)

def lazily():
    yield 1

def opaque():
    return Opaque()

def nan():
    return [1.0, math.nan]

def infinite():
    return {"a": -math.inf}

def beyond():
    return 2**63

def binary():
    return b"\\xff\\xfe"

def half():
    return "\\ud800"

def numbered():
    return {1: "a"}

def deep(levels: int):
    value = 1
    for _ in range(levels):
        value = [value]
    return value

def endless():
    value = []
    value.append(value)
    return value

def raising():
    raise ValueError("x" * 1_000_000 + "\\x1b[31m")
"""


def test_a_byte_and_a_megabyte(headrace: Terminal) -> None:
    """faults 60: both arrive downstream as they were, and are read back."""
    headrace.write("bodies.py", BODIES)
    headrace.write(
        "w.yaml",
        flow(
            "  one: {python: 'bodies:text', with: {size: 1}}\n"
            "  mega: {python: 'bodies:text', with: {size: 1048576}}\n"
            "  count: {python: 'bodies:size', with: {text: '${{ tasks.mega.output }}'}}\n"
            '  sh: {shell: \'head -c 1048576 /dev/zero | tr "\\0" y | sed "s/^/\\"/; s/$/\\"/" > "$HEADRACE_OUTPUT"\'}\n'
        )
        + "output: {one: '${{ tasks.one.output }}', count: '${{ tasks.count.output }}', "
        "mega: '${{ tasks.mega.output }}', sh: '${{ tasks.sh.output }}'}\n",
    )
    done = headrace("run", "w.yaml", "--json")
    assert done.status == 0, done.err[-2000:]
    output = done.document["output"]
    assert (output["one"], output["count"]) == ("x", 1 << 20)
    assert (output["mega"], output["sh"]) == ("x" * (1 << 20), "y" * (1 << 20))
    assert headrace.last().document["output"] == output
    assert headrace("replay", "last").status == 0


def test_more_than_may_be_loaded_goes_by_reference(headrace: Terminal) -> None:
    """faults 60: beyond 16 MiB a result is still handed on by a lone path, but no expression may load it."""
    headrace.write("bodies.py", BODIES)
    headrace.write(
        "w.yaml",
        flow(
            "  big: {python: 'bodies:text', with: {size: 20000000}}\n"
            "  on: {python: 'bodies:size', with: {text: '${{ tasks.big.output }}'}}\n"
            "  judged: {noop: {}, when: size(tasks.big.output) > 1}\n"
        ),
    )
    done = headrace.measured("run", "w.yaml", "--json")
    assert "Traceback" not in done.err
    assert done.states["big"] == "succeeded", done.tasks["big"]
    assert (done.tasks["judged"]["state"], done.tasks["judged"]["reason"]) == ("failed", "expression_error")
    assert "16" in done.tasks["judged"]["error"]["message"]
    assert done.states["on"] == "succeeded", done.tasks["on"]
    assert done.peak < 600 << 20


NO_JSON = {
    "lazily": "return a list",
    "opaque": "Opaque",
    "nan": "nan is no JSON value",
    "infinite": "inf is no JSON value",
    "beyond": "64 bits",
    "binary": "",
    "half": "",
    "deep": "64",
    "endless": "64",
}


def test_what_is_no_json_fails_its_task_with_the_cause(headrace: Terminal) -> None:
    """faults 60: each once, without another try, and the others go on."""
    headrace.write("bodies.py", BODIES)
    lines = [
        f"  {name}: {{python: 'bodies:{name}'{', with: {levels: 65}' if name == 'deep' else ''}}}\n"
        for name in NO_JSON
    ]
    headrace.write(
        "w.yaml",
        flow(
            "".join(lines)
            + "  fine: {python: 'bodies:deep', with: {levels: 64}}\n"
            + "  numbered: {python: 'bodies:numbered'}\n"
        ),
    )
    done = headrace("run", "w.yaml", "--json")
    assert done.status == 1
    assert "Traceback" not in done.err
    for name, said in NO_JSON.items():
        task = done.tasks[name]
        assert (task["state"], task["reason"], task["attempts"]) == ("failed", "invalid_output", 1), task
        assert said in task["error"]["message"], task
        assert len(task["error"]["message"]) < 500
    assert done.states["fine"] == "succeeded"


@pytest.mark.parametrize(
    "content",
    ["{", "nonsense", '{"a": NaN}', "[" * 100_000, "1e999", '"\\ud800"', "9" * 30],
    ids=["cut", "word", "nan", "deep", "infinite", "half", "beyond"],
)
def test_a_bad_output_file(content: str, headrace: Terminal) -> None:
    """faults 60: what a shell task leaves in its output file is held to the same rules."""
    headrace.write("content", content)
    headrace.write("w.yaml", flow("  a: {shell: 'cat content > \"$HEADRACE_OUTPUT\"'}\n"))
    done = headrace("run", "w.yaml", "--json")
    assert "Traceback" not in done.err
    assert (done.tasks["a"]["state"], done.tasks["a"]["reason"]) == ("failed", "invalid_output")
    assert done.tasks["a"]["attempts"] == 1


def test_a_very_large_output_of_a_shell_task_is_cut_before_it_is_read(headrace: Terminal) -> None:
    """faults 60: half a gigabyte of result fails its task; memory stays what it was."""
    headrace.write("w.yaml", flow("  a: {shell: 'truncate -s 512M \"$HEADRACE_OUTPUT\"'}\n"))
    done = headrace.measured("run", "w.yaml", "--json")
    assert (done.tasks["a"]["state"], done.tasks["a"]["reason"]) == ("failed", "invalid_output"), done.tasks
    assert "large" in done.tasks["a"]["error"]["message"] or "bytes" in done.tasks["a"]["error"]["message"]
    assert done.peak < 300 << 20


def test_an_error_message_of_a_megabyte_is_cut_and_harmless(headrace: Terminal) -> None:
    """faults 60"""
    headrace.write("bodies.py", BODIES)
    headrace.write("w.yaml", flow("  a: {python: 'bodies:raising', retry: 1}\n"))
    done = headrace("run", "w.yaml")
    assert done.status == 1
    assert len(done.err) < 20_000
    assert "\x1b" not in done.err
    error = headrace.last().tasks["a"]["error"]
    assert error["kind"] == "ValueError"
    assert len(error["message"]) <= 4096
