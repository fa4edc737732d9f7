"""Expressions that try to get out, to run for ever, or to pass for something else."""

from __future__ import annotations

import pytest

from tests.acceptance.faults.documents import flow, only, problems
from tests.acceptance.terminal import Terminal

REFUSED = {
    "class": "''.__class__.__mro__[1].__subclasses__()",
    "filter": "params|attr('x')",
    "import": "__import__('os').system('touch owned')",
    "eval": "eval('1')",
    "globals": "globals()",
    "format": "'{0.__class__}'.format(run)",
    "power": "9 ** 9 ** 9",
    "lambda": "(lambda: 1)()",
    "comprehension": "[x for x in [1]]",
    "walrus": "(x := 1)",
    "fstring": "f'{run}'",
    "nested": "[1, 2].map(x, [1, 2].map(y, x * y))",
    "nine": "[1]" + ".map(x, x)" * 9,
    "deep": "(" * 40 + "1" + ")" * 40,
    "long": "'" + "a" * 5000 + "'",
    "name": "os.environ",
    "environment": "env.HOME",
    "secret": "secrets.x + 'y'",
    "open": "params",
    "empty": "",
    "half": "1 +",
    "statement": "1; 2",
    "assign": "run = 1",
}


def test_what_is_no_expression_is_refused_with_its_place(headrace: Terminal) -> None:
    """faults 9: no attribute of a host object, no comprehension, no power, no format; nested and long ones neither."""
    found = problems(
        headrace,
        {
            f"{name}.yaml": flow(
                f'  c:\n    shell: "true"\n    env:\n      X: "${{{{ {text} }}}}"\n',
            )
            for name, text in REFUSED.items()
            if name != "open"
        },
    )
    assert not {name for name, listed in found.items() if len(listed) != 1}
    for name, listed in found.items():
        problem = only(listed)
        assert problem["code"] == "invalid_expression", (name, problem)
        assert (problem["line"], problem["file"]) == (6, name)
        assert len(problem["message"]) < 300
    assert not (headrace.folder / "owned").exists()


TEXTS = [
    "{{ ''.__class__ }}",
    "{% import os %}",
    "$(touch owned)",
    "`touch owned`",
    "'; touch owned; '",
    "{0.__class__}",
    "%(x)s %n",
    "#{1 + 1}",
    "$X ${X} $$",
    "${{'${{'}} 1 }}",
]


def test_other_languages_templates_are_text(headrace: Terminal) -> None:
    """faults 9: text never becomes program; it arrives at the task as it was written."""
    names = [f"T{number}" for number in range(len(TEXTS))]
    env = "".join(
        f"      {name}: '{text.replace(chr(39), chr(39) * 2)}'\n"
        for name, text in zip(names, TEXTS, strict=True)
    )
    arguments = ", ".join(f'"${name}"' for name in names).replace(", ", " ")
    headrace.write("w.yaml", flow(f"  c:\n    shell: |\n      printf '%s\\n' {arguments}\n    env:\n{env}"))
    done = headrace("run", "w.yaml", "--json")
    assert done.status == 0, done.err
    written = headrace("logs", "last", "c").out.splitlines()
    assert written == [*TEXTS[:-1], "${{ 1 }}"]
    assert not (headrace.folder / "owned").exists()


def test_a_parameter_is_data_for_the_shell(headrace: Terminal) -> None:
    """faults 9, and the oldest hole of its kind: run parameters that reach a command line."""
    headrace.write(
        "w.yaml",
        flow(
            "  env: {shell: 'echo \"$X\"', env: {X: '${{ params.x }}'}}\n"
            "  argv: {shell: {argv: [echo, '${{ params.x }}', 'x${{ params.x }}']}}\n",
            "params: {x: {type: string}}\n",
        ),
    )
    nasty = "$(touch owned); touch owned | `touch owned` && ${{ run.id }} 'x\" \\"
    done = headrace("run", "w.yaml", "-p", f"x={nasty}", "--json")
    assert done.status == 0, done.err
    assert headrace("logs", "last", "env").out == nasty + "\n"
    assert headrace("logs", "last", "argv").out == f"{nasty} x{nasty}\n"
    assert not (headrace.folder / "owned").exists()
    in_program = problems(headrace, {"p.yaml": flow("  a: {shell: 'echo ${{ params.x }}'}\n")})
    assert "env" in only(in_program["p.yaml"])["hint"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("'a'.matches(params.text)", ""),
        ("params.text.matches('(a+)+$')", ""),
        ("params.text.replace('a', params.text).replace('a', params.text)", "expression_error"),
        ("params.items.map(x, x + 1)", "expression_error"),
        ("1 / params.zero", "expression_error"),
        ("9223372036854775807 + params.one", "expression_error"),
        ("params.text % 'x'", "expression_error"),
        ("params.missing", "invalid"),
    ],
    ids=["own_pattern", "backtracking", "doubling", "macro", "zero", "overflow", "percent", "missing"],
)
def test_time_and_size_of_a_judgement_are_bounded(text: str, why: str, headrace: Terminal) -> None:
    """faults 9: what would take for ever or for gigabytes ends the task with its reason, soon."""
    headrace.write(
        "w.yaml",
        flow(
            f'  c: {{shell: "true", env: {{X: "${{{{ {text} }}}}"}}}}\n  d: {{noop: {{}}, depends_on: c}}\n',
            "params:\n  text: {type: string}\n  zero: {type: integer, default: 0}\n"
            "  one: {type: integer, default: 1}\n  items: {type: array, default: []}\n",
        ),
    )
    headrace.write("text", "a" * 60_000 + "b")
    headrace.write("items", "[" + ",".join(["1"] * 1_001) + "]")
    done = headrace.measured("run", "w.yaml", "-p", "text=@text", "-p", "items=@items", "--json")
    assert "Traceback" not in done.err
    assert done.worked < 15
    assert done.peak < 300 << 20
    if why == "invalid":
        assert (done.status, done.document["problems"][0]["code"]) == (2, "invalid_expression")
    elif why:
        assert (done.status, done.states) == (1, {"c": "failed", "d": "upstream_failed"})
        assert done.tasks["c"]["reason"] == why
        assert done.tasks["c"]["attempts"] == 0
        assert text.split("(")[0].split("'")[0].replace(" ", "") in done.tasks["c"]["error"]["message"]
    else:
        assert done.status in (0, 1), done.err
