"""YAML and JSON that mean more, less or something other than they seem to."""

from __future__ import annotations

from tests.acceptance.faults.documents import flow, only, problems
from tests.acceptance.terminal import Terminal, refused

A = "  a: {noop: {}}\n"


def test_a_tag_runs_nothing(headrace: Terminal) -> None:
    """faults 8"""
    headrace.write("w.yaml", flow("  a: !!python/object/apply:os.system ['touch owned']\n"))
    done = headrace("run", "w.yaml")
    refused(done, "w.yaml:3:6", "is a YAML tag; tags are not allowed", "Leave it out")
    assert not (headrace.folder / "owned").exists()
    assert not headrace.database.exists()


REFUSED: dict[str, tuple[str | bytes, tuple[int, int] | None, str]] = {
    "python_name.yaml": (flow(A, "x-a: !!python/name:os.system\n"), (2, 6), "is a YAML tag"),
    "own_tag.yaml": (flow("  a: {noop: {}, description: !secret x}\n"), (3, 30), "is a YAML tag"),
    "binary.yaml": (flow(A, "x-a: !!binary aGk=\n"), (2, 6), "is a YAML tag"),
    "merge.yaml": (
        flow("  a:\n    <<: *d\n    noop: {}\n", "x-d: &d {retry: 3}\n"),
        (5, 5),
        "merge keys (<<) are not part of YAML 1.2",
    ),
    "key_twice.yaml": (flow("  a: {noop: {}, tags: [x], tags: [y]}\n"), (3, 28), '"tags" stands here twice'),
    "section_twice.yaml": (flow(A) + "tasks:\n  b: {noop: {}}\n", (4, 1), '"tasks" stands here twice'),
    "octal.yaml": (flow(A, "x-mode: 0755\n"), (2, 9), "begins with 0"),
    "beyond.yaml": (flow(A, "x-n: 9223372036854775808\n"), (2, 6), "an integer beyond 64 bits"),
    "below.json": ('{"workflow": "w", "x-n": -9223372036854775809, "tasks": {"a": {"noop": {}}}}', None, "64 bits"),
    "endless.json": ('{"workflow": "w", "x-n": ' + "9" * 100_000 + ', "tasks": {"a": {"noop": {}}}}', None, "64 bits"),
    "nan.yaml": (flow(A, "x-n: .nan\n"), (2, 6), "is no JSON value"),
    "infinity.yaml": (flow(A, "x-n: -.inf\n"), (2, 6), "is no JSON value"),
    "huge.yaml": (flow(A, "x-n: 1e999\n"), (2, 6), "a number too large to hold"),
    "nan.json": ('{"workflow": "w",\n "x-n": [1, "NaN", NaN], "tasks": {"a": {"noop": {}}}}', (2, 20), "NaN is no JSON value"),
    "huge.json": ('{"workflow": "w", "x-n": 1e999, "tasks": {"a": {"noop": {}}}}', (1, 19), "no JSON values"),
    "twice.json": ('{"workflow": "w", "workflow": "v", "tasks": {"a": {"noop": {}}}}', (1, 19), "twice"),
    "number_key.yaml": (flow("  1: {noop: {}}\n"), (3, 3), "a key must be text, not the number 1"),
    "null_key.yaml": (flow("  ~: {noop: {}}\n"), (3, 3), "a key must be text"),
    "list_key.yaml": (flow("  [a, b]: {noop: {}}\n"), (3, 3), "a key must be text, not a list"),
    "second.yaml": (flow(A) + "---\n" + flow(A), (4, 1), "a second document begins"),
    "latin.yaml": (b"workflow: w\ntasks:\n  a: {noop: {}, description: \xe9t\xe9}\n", (3, 30), "not UTF-8"),
    "utf16.yaml": (flow(A).encode("utf-16"), (1, 1), "not UTF-8"),
    "overlong.yaml": (b"workflow: w\nx-a: \xc0\xaf\n" + flow(A).encode()[12:], (2, 6), "not UTF-8"),
    "nul.yaml": (b"workflow: w\x00\ntasks: {a: {noop: {}}}\n", (1, 12), "control characters are not allowed"),
    "half.json": ('{"workflow": "w", "x-a": "\\ud800", "tasks": {"a": {"noop": {}}}}', (1, 19), "half a surrogate pair"),
    "tab.yaml": ("workflow: w\ntasks:\n\ta: {noop: {}}\n", (3, 1), "this is not YAML"),
    "cut.json": ('{"workflow": "w", "tasks": {"a": {"noop"', (1, 41), "this is not JSON"),
    "colon.yaml": (flow("  a: {noop: {}, description: a: b}\n"), (3, 31), "this is not YAML"),
    "star.yaml": (flow(A, "triggers: [{cron: */5 * * * *}]\n"), None, "this is not YAML"),
    "bang.yaml": (flow("  a: {noop: {}, when: !has(params.x)}\n"), None, "this is not YAML"),
}  # fmt: skip


def test_writing_that_is_refused_with_its_place(headrace: Terminal) -> None:
    """faults 8: tags, merge keys, keys twice, octal numbers, no numbers, other encodings, half characters."""
    found = problems(headrace, {name: text for name, (text, _, _) in REFUSED.items()})
    wrong = {}
    for name, (_, place, said) in REFUSED.items():
        listed = found[name]
        if not listed:
            wrong[name] = "accepted"
        elif said not in listed[0]["message"]:
            wrong[name] = listed[0]["message"]
        elif place is not None and (listed[0]["line"], listed[0]["column"]) != place:
            wrong[name] = str((listed[0]["line"], listed[0]["column"]))
        elif len(listed) != 1:
            wrong[name] = str([problem["message"] for problem in listed])
        elif len(listed[0]["message"]) > 500:
            wrong[name] = "long"
    assert wrong == {}
    assert all("quote" in found[name][0]["hint"].lower() for name in ("star.yaml", "bang.yaml", "colon.yaml"))


def test_what_yaml_readers_disagree_about_is_read_as_yaml_1_2(headrace: Terminal) -> None:
    """faults 8: `no` and `on` are words, 0o17 is octal, a byte order mark is no content, and all of it arrives."""
    headrace.write(
        "w.yaml",
        "\ufeff"
        + flow(
            "  no: {noop: {}}\n  on: {noop: {}, depends_on: no}\n  yes: {noop: {}, depends_on: [on, no]}\n",
            "params:\n"
            "  country: {type: string, default: no}\n  mode: {type: integer, default: 0o17}\n"
            "  time: {type: string, default: 12:30:45}\n  version: {type: string, default: 1.10.2}\n"
            "  day: {type: string, default: 2026-01-02}\n  on: {type: boolean, default: true}\n",
        )
        + "output: {country: '${{ params.country }}', mode: '${{ params.mode }}', time: '${{ params.time }}', "
        "day: '${{ params.day }}', version: '${{ params.version }}'}\n",
    )
    done = headrace("run", "w.yaml", "--json")
    assert done.status == 0, done.err
    assert done.states == {"no": "succeeded", "on": "succeeded", "yes": "succeeded"}
    assert done.document["output"] == {
        "country": "no",
        "mode": 15,
        "time": "12:30:45",
        "day": "2026-01-02",
        "version": "1.10.2",
    }


def test_an_alias_is_the_value_it_names(headrace: Terminal) -> None:
    """faults 8: anchors work, and share nothing that one could change."""
    headrace.write(
        "w.yaml",
        flow(
            "  a: {shell: 'echo \"$X\"', env: *e}\n  b: {shell: 'echo \"$X\"', env: *e, depends_on: a}\n",
            "x-e: &e {X: same}\n",
        ),
    )
    assert headrace("run", "w.yaml").status == 0
    assert [line.split()[-1] for line in headrace("logs", "last").out.splitlines()] == ["same", "same"]


def test_a_folder_and_a_file_that_may_not_be_read(headrace: Terminal) -> None:
    """faults 8: what is no readable file is told as that."""
    (headrace.folder / "d.yaml").mkdir()
    refused(headrace("run", "d.yaml"), "d.yaml is a folder")
    refused(headrace("run", "w.yml"), "there is no file w.yml")
    (headrace.folder / "loop.yaml").symlink_to("loop.yaml")
    refused(headrace("run", "loop.yaml"), "loop.yaml")
    assert only(problems(headrace, {"b.yaml": b"\xff\xfe\x00"})["b.yaml"])["code"] == "parse_error"
