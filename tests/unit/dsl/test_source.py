"""Workflow files: what is read, what is refused, and the place of every problem (faults 1 to 9)."""

from __future__ import annotations

import io
import json
import resource
import sys
import time
from pathlib import Path
from textwrap import dedent

import pytest

from headrace.dsl.reading import MAX_BYTES
from headrace.dsl.report import validation_report
from headrace.dsl.source import load, plan, read_text
from headrace.engine.core.problems import InvalidWorkflow

TASK = "workflow: w\ntasks:\n"


def told(text: str | bytes, *, json: bool | None = None) -> list[str]:
    """Every problem and its code, also those that only planning finds."""
    with pytest.raises(InvalidWorkflow) as refused:
        plan(read_text(dedent(text) if isinstance(text, str) else text, "f.yaml", json=json))
    return [f"{problem} [{problem.code}]" for problem in refused.value.problems]


def test_every_problem_is_told_at_once_in_the_order_of_the_file() -> None:
    text = """\
        workflow: etl
        tsks: {}
        tasks:
          extract: {shel: echo hi}
          transform:
            python: shop.transform
            depends_on: [extrct]
            retry: {attempts: 0, dely: 1s}
          load:
            shell: "echo ${{ x }}"
            depends_on: transfrom
            when: tasks.transform.output.rows >
            trigger_rule: all_sucess
            timeout: 10
          price: {noop: {}, depends_on: price}
    """
    assert told(text) == [
        'f.yaml:2:1: a workflow has no key "tsks". Did you mean "tasks"? [schema]',
        'f.yaml:4:13: a task has no key "shel". Did you mean "shell"? [schema]',
        'f.yaml:6:5: "shop.transform" names no function. Write shop:transform, as in shop.sales:extract. [schema]',
        'f.yaml:7:18: task "transform" waits for "extrct", which is not defined. Did you mean "extract"? '
        "[unknown_dependency]",
        "f.yaml:8:13: retry.attempts must be at least 1 and at most 1,000,000, not 0. [schema]",
        'f.yaml:8:26: a retry policy has no key "dely". Did you mean "delay"? [schema]',
        "f.yaml:10:5: shell cannot hold a template (${{ … }}). "
        'Hand values over by env: {X: …}, and write "$X" in the program. [invalid_expression]',
        'f.yaml:11:5: task "load" waits for "transfrom", which is not defined. Did you mean "transform"? '
        "[unknown_dependency]",
        "f.yaml:12:5: the expression ends where a value is expected. [invalid_expression]",
        'f.yaml:13:5: "all_sucess" is no trigger rule. Did you mean "all_success"? [invalid_trigger_rule]',
        "f.yaml:14:5: timeout takes a duration, not the number 10. "
        "A number needs its unit: write 10s, 10m or 10h. [schema]",
        'f.yaml:15:21: task "price" waits for itself. [self_dependency]',
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "f.yaml:1:1: the file is empty: a workflow is a map that begins with `workflow: name`. [schema]"),
        ("- a\n", "f.yaml:1:1: a workflow is a map that begins with `workflow: name`, not a list. [schema]"),
        (TASK, "f.yaml:2:1: the workflow has no tasks. Add one under `tasks`. [empty_workflow]"),
        (
            TASK + "  a: {noop: {}, depends_on: b}\n  b: {noop: {}, depends_on: a}\n",
            "f.yaml:3:17: a → b → a is a cycle: none of these tasks could ever start. "
            "Remove one of the dependencies. [cycle]",
        ),
        (
            TASK + "  a: {noop: {}}\n  b: {noop: {}, when: tasks.aa.output > 1}\n",
            'f.yaml:4:17: task "b" reads "aa", which is not defined. Did you mean "a"? [unknown_dependency]',
        ),
        (
            TASK + "  a:\n    noop: {}\n    when: tasks.a.state == # x\n",
            "f.yaml:5:5: the expression ends where a value is expected. YAML takes ` #` for a comment. "
            'Quote it: when: "tasks.a.state == # x". [invalid_expression]',
        ),
        (
            TASK + '  a: {noop: {}, when: "2**3 > 1"}\n',
            "f.yaml:3:17: `*` stands where a value is expected. [invalid_expression]",
        ),
        (
            TASK + "  a: {python: m:f, with: {x: \"${{ ''|attr('y') }}\"}}\n",
            "f.yaml:3:27: `|` is no operator. Did you mean `||`? [invalid_expression]",
        ),
        (
            TASK + "  a: !!python/object:os.system {}\n",
            'f.yaml:3:6: "tag:yaml.org,2002:python/object:os.system" is a YAML tag; tags are not allowed. '
            "Leave it out; quote the value where it is meant as text. [parse_error]",
        ),
        (
            "x-a: &a {noop: {}}\n" + TASK + "  a: {<<: *a}\n",
            "f.yaml:4:7: merge keys (<<) are not part of YAML 1.2. Write the keys out, put them into `defaults`, "
            "or use a plain alias for a whole value. [parse_error]",
        ),
        (
            TASK + "  a: {noop: {}, max_parallel: 010}\n",
            "f.yaml:3:31: 010 begins with 0: YAML readers disagree whether that is octal. "
            'Quote it ("010"), write it without the 0, or as 0o10. [parse_error]',
        ),
        (
            TASK + "  a: {noop: {}, fails_run: yes}\n",
            'f.yaml:3:17: fails_run takes true or false, not the text "yes". '
            "YAML 1.2 has only true and false. [schema]",
        ),
    ],
)  # fmt: skip
def test_what_is_said_of_a_file(text: str, said: str) -> None:
    [message] = told(text)
    assert message == said


def test_the_graph_of_a_misspelt_file_is_not_guessed_at() -> None:
    text = TASK + "  a: {noop: {}, depends_on: nowhere}\n  a: {noop: {}}\n"
    assert told(text) == ['f.yaml:4:3: the task "a" is defined twice. Rename one. [duplicate_task]']


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"[" * 100_000, "parse_error"),
        (b"a: " + b"{a: " * 100_000, "parse_error"),
        (("a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
            f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 10)}]\n" for n in range(9)
        )).encode(), "too_large"),
        (b"x" * (MAX_BYTES + 1), "too_large"),
        (TASK.encode() + b"  " + b"x" * 10_240 + b": {noop: {}}\n", "parse_error"),
    ],
    ids=["nesting", "flow nesting", "alias bomb", "64 MiB and more", "10 KB id"],
)  # fmt: skip
def test_bombs_are_refused_at_once(data: bytes, code: str) -> None:
    read_text(TASK + "  a: {noop: {}}\n")
    before, used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(InvalidWorkflow) as refused:
        read_text(data, "f.yaml")
    assert [problem.code for problem in refused.value.problems] == [code]
    assert time.process_time() - used < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024


def test_a_file_is_measured_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    with path.open("wb") as stream:
        stream.truncate(100 << 20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InvalidWorkflow, match="the file has 104,857,600 bytes; 67,108,864 bytes are allowed"):
        load(str(path))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 * 1024


# -- load ------------------------------------------------------------------------------------------------------------


def test_yaml_json_and_python_are_read(tmp_path: Path) -> None:
    document = {"workflow": "w", "tasks": {"a": {"shell": "true"}}}
    (tmp_path / "a.json").write_text(json.dumps(document))
    (tmp_path / "a.yaml").write_bytes(b"\xef\xbb\xbfworkflow: w\r\ntasks:\r\n  a: {shell: 'true'}\r\n")
    (tmp_path / "a.py").write_text(
        "from headrace.dsl import shell, workflow\n\n@workflow\ndef w():\n    shell('true', id='a')\n"
    )
    found = [load(str(tmp_path / f"a{suffix}"))[0] for suffix in (".json", ".yaml", ".py")]
    assert len({plan(source).plan.hash for source in found}) == 1
    assert {source.folder for source in found} == {str(tmp_path)}
    assert [Path(source.file).name for source in found] == ["a.json", "a.yaml", "a.py"]


def test_stdin_is_yaml_or_json(monkeypatch: pytest.MonkeyPatch) -> None:
    for text in (TASK + "  a: {noop: {}}\n", '{"workflow": "w", "tasks": {"a": {"noop": {}}}}'):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        [source] = load("-")
        assert source.workflow.name == "w"


def test_a_name_that_the_file_does_not_have(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(TASK + "  a: {noop: {}}\n")
    assert load(str(path), "w")[0].workflow.name == "w"
    with pytest.raises(InvalidWorkflow, match=r'has no workflow "other"\. It has: w\.'):
        load(str(path), "other")


def test_warnings_have_places() -> None:
    text = TASK + "  a: {noop: {}}\n  g:\n    tasks:\n      a: {noop: {}}\n"
    planned = plan(read_text(text, "f.yaml"))
    assert [(warning.code, str(warning.place)) for warning in planned.warnings] == [
        ("shadowed_id", "f.yaml:6:7")
    ]


def test_the_report_for_programs() -> None:
    planned = plan(read_text(TASK + "  a: {noop: {}}\n", "f.yaml"))
    assert validation_report((), planned.warnings, [planned.plan]) == {
        "schema": 1,
        "valid": True,
        "workflow": "w",
        "plan": planned.plan.hash,
        "problems": [],
        "warnings": [],
    }
    with pytest.raises(InvalidWorkflow) as refused:
        read_text(TASK + "  a: {nop: {}}\n", "f.yaml")
    report = validation_report(refused.value.problems, (), [planned.plan])
    assert (report["valid"], report["workflow"], report["plan"]) == (False, None, None)
    assert report["problems"] == [
        {
            "code": "schema",
            "message": 'a task has no key "nop".',
            "hint": 'Did you mean "noop"?',
            "file": "f.yaml",
            "line": 3,
            "column": 7,
            "path": ["tasks", "a", "nop"],
            "task": "a",
        }
    ]


@pytest.mark.parametrize(
    "task",
    [
        """{shell: x, map: {over: "${{ [1] }}", as: a-b}, env: {X: "${{ zz }}"}}""",
        """{map: {over: "${{ [1] }}", as: a-b}, tasks: {b: {shell: x, env: {X: "${{ zz }}"}}}}""",
    ],
)
def test_the_name_of_an_item_that_cannot_be_read_hides_no_other_problem(task: str) -> None:
    with pytest.raises(InvalidWorkflow) as refused:
        read_text(TASK + f"  a: {task}\n  b: {{noop: {{}}, depends_on: c}}\n")
    said = [problem.message for problem in refused.value.problems]
    assert '"a-b" cannot be a name in expressions.' in said
    assert any('"c"' in message for message in said)
