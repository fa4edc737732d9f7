"""`python` tasks as users write them: inputs, outputs, errors, what they may ask and what is captured."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from headrace.engine.core.evaluation import Artifact
from headrace.engine.core.keys import pack
from headrace.engine.ports.messages import Dispatch, Hole, Limits
from headrace.runners.attempt import effect_key
from tests.integration.runners.desk import Desk, opened, python

THREAD, PROCESS = "thread", "process"


def value(report: Any) -> Any:
    assert report.kind == "succeeded", report
    return None if report.output is None else json.loads(report.output)


def error(report: Any) -> Any:
    assert report.kind == "failed", report
    return report.error


@pytest.mark.parametrize("isolation", [THREAD, PROCESS])
async def test_inputs_become_what_the_annotations_say(desk: Desk, isolation: str) -> None:
    desk.write(
        "m.py",
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\nfrom datetime import date\nfrom pydantic import BaseModel\n"
        "class Item(BaseModel):\n    name: str\n    at: date\n"
        "@dataclass\nclass Point:\n    x: int\n"
        "def f(day: date, item: Item, points: list[Point], n: int, plain, /, share: float = 0.5, **more) -> dict:\n"
        "    assert isinstance(day, date) and isinstance(item, Item) and isinstance(points[0], Point)\n"
        "    assert type(n) is int and type(share) is float\n"
        "    return {'day': day, 'item': item, 'points': points, 'n': n, 'plain': plain, 'more': more}\n"
        "async def g(n: int) -> tuple[int, str]: return n, 'x'\n",
    )
    given = {
        "day": "2026-01-02",
        "item": {"name": "a", "at": "2026-01-03"},
        "points": [{"x": 1}],
        "n": 3,
        "plain": {"k": None},
        "share": 1,
        "extra": True,
    }
    report = await desk.run(python("m:f", isolation=isolation), {"with": given})
    assert value(report) == {
        "day": "2026-01-02",
        "item": {"name": "a", "at": "2026-01-03"},
        "points": [{"x": 1}],
        "n": 3,
        "plain": {"k": None},
        "more": {"extra": True},
    }
    assert value(await desk.run(python("m:g", isolation=isolation), {"with": {"n": 4}})) == [4, "x"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, '"n" is missing'),
        ({"n": "hunter2"}, '"n": Input should be a valid integer'),
        ({"n": 1, "m": 2}, '"m" is no parameter of f (it has: n, items)'),
        ({"n": 1, "items": [1, "hunter2"]}, '"items[1]": Input should be a valid integer'),
    ],
)
async def test_inputs_that_do_not_fit_are_named_without_their_values(
    desk: Desk, given: dict[str, Any], words: str
) -> None:
    desk.write("m.py", "def f(n: int, items: list[int] = []): return n\n")
    problem = error(await desk.run(python("m:f"), {"with": given}))
    assert words in problem.message
    assert "hunter2" not in problem.message
    assert (problem.reason, problem.retryable) == ("invalid_input", False)


@pytest.mark.parametrize(
    ("expression", "isolation"),
    [
        ("object()", PROCESS),
        ("deep(65)", PROCESS),
        ("(i for i in [1])", THREAD),
        ("iter([1])", THREAD),
        ("object()", THREAD),
        ("float('nan')", THREAD),
        ("{'a': [float('inf')]}", THREAD),
        ("2 ** 63", THREAD),
        ("[-(2 ** 63) - 1]", THREAD),
        ("'\\ud800'", THREAD),
        ("b'\\xff'", THREAD),
        ("deep(65)", THREAD),
        ("ring()", THREAD),
        ("lambda: 1", THREAD),
    ],
)
async def test_what_is_no_json_is_an_invalid_output(desk: Desk, expression: str, isolation: str) -> None:
    """faults 11, 60."""
    desk.write(
        "m.py",
        "def deep(n):\n    value = 1\n    for _ in range(n): value = [value]\n    return value\n"
        "def ring():\n    value = []\n    value += [value, value]\n    return value\n"
        f"def f(): return {expression}\n",
    )
    problem = error(await desk.run(python("m:f", isolation=isolation)))
    assert (problem.reason, problem.retryable) == ("invalid_output", False)


async def test_json_survives_exactly(desk: Desk) -> None:
    desk.write(
        "m.py",
        "import json\nfrom pathlib import Path\nVALUE = json.loads(Path(__file__ + '.json').read_text())\ndef f(): return VALUE\n",
    )
    sent = {"b": 1, "a": [2**63 - 1, -(2**63), 1.0, 1e300, None, True, "\u2028\x00é𝄞"], "": {}, "deep": []}
    for _ in range(62):
        sent["deep"] = [sent["deep"]]
    desk.write("m.py.json", json.dumps(sent))
    report = await desk.run(python("m:f"))
    assert json.loads(report.output or b"") == sent
    assert list(value(report)) == list(sent), "the order of keys is kept"


async def test_dates_sets_and_models_become_json_by_the_annotation(desk: Desk) -> None:
    desk.write(
        "m.py",
        "from datetime import timedelta, datetime, timezone\nfrom decimal import Decimal\n"
        "from pydantic import BaseModel, Field\n"
        "class M(BaseModel):\n    a: int = Field(serialization_alias='A')\n"
        "def one() -> timedelta: return timedelta(seconds=90)\n"
        "def two(): return {'at': datetime(2026, 1, 1, tzinfo=timezone.utc), 'set': {1}, 1: 2}\n"
        "def three() -> list[M]: return (M(a=1),)\n",
    )
    assert value(await desk.run(python("m:one"))) == "PT1M30S"
    assert value(await desk.run(python("m:two"))) == {"at": "2026-01-01T00:00:00Z", "set": [1], "1": 2}
    assert value(await desk.run(python("m:three"))) == [{"a": 1}]


@pytest.mark.parametrize("isolation", [THREAD, PROCESS])
async def test_an_exception_is_told_by_class_bases_and_text_its_trace_goes_to_the_log(
    desk: Desk, isolation: str
) -> None:
    desk.write("m.py", "def f():\n    raise PermissionError(13, 'locked', 'a.txt')\n")
    problem = error(await desk.run(python("m:f", isolation=isolation)))
    assert problem.kind == "PermissionError"
    assert problem.kinds == ["PermissionError", "OSError", "Exception"]
    assert "locked" in problem.message
    assert problem.retryable
    assert problem.traceback is None
    log = await desk.log(stream="stderr")
    assert log[0] == "Traceback (most recent call last):"
    assert any("raise PermissionError" in line for line in log)


async def test_the_trace_begins_in_the_users_code(desk: Desk) -> None:
    desk.write("m.py", "def f():\n    1 / 0\n")
    await desk.run(python("m:f"))
    log = await desk.log()
    assert "m.py" in log[1]
    assert not any("runners" in line and "python_runner" in line for line in log)


@pytest.mark.parametrize("isolation", [THREAD, PROCESS])
async def test_skip_and_fail(desk: Desk, isolation: str) -> None:
    desk.write(
        "m.py",
        "from headrace.runners.context import Skip, Fail\n"
        "def skip(): raise Skip('nothing new')\ndef fail(): raise Fail('hopeless')\n",
    )
    skipped = await desk.run(python("m:skip", isolation=isolation))
    assert (skipped.kind, skipped.error and skipped.error.message) == ("skipped", "nothing new")
    problem = error(await desk.run(python("m:fail", isolation=isolation)))
    assert (problem.kind, problem.message, problem.retryable) == ("Fail", "hopeless", False)


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("nowhere:f", 'no module "nowhere"'),
        ("m:g", 'has no "g"'),
        ("m:X", "is no function"),
        ("needs:f", "imports not_there, which is missing"),
        ("broken:f", "cannot be imported"),
        ("m", "not written as module:function"),
    ],
)
async def test_what_does_not_exist_is_not_tried_again(desk: Desk, reference: str, words: str) -> None:
    desk.write("m.py", "X = 1\ndef f(): pass\n")
    desk.write("needs.py", "import not_there\n")
    desk.write("broken.py", "def f(:\n")
    problem = error(await desk.run(python(reference)))
    assert words in problem.message
    assert (problem.reason, problem.retryable) == ("not_found", False)


async def test_an_annotation_that_cannot_be_checked_is_not_tried_again(desk: Desk) -> None:
    desk.write(
        "typed.py",
        "from typing import TypedDict\nclass Row(TypedDict):\n    n: int\ndef f(row: Row) -> None: ...\n",
    )
    report = await desk.run(python("typed:f"), {"with": {"row": {"n": 1}}})
    if sys.version_info >= (3, 12):  # which can be checked
        assert report.kind == "succeeded"
    else:
        problem = error(report)
        assert "annotation cannot be used" in problem.message
        assert not problem.retryable


async def test_a_module_that_fails_to_import_may_be_tried_again(desk: Desk) -> None:
    desk.write("m.py", "raise ConnectionError('database away')\n")
    problem = error(await desk.run(python("m:f")))
    assert (problem.kind, problem.reason, problem.retryable) == ("ConnectionError", None, True)
    desk.write("m.py", "def f(): return 'there again'\n")
    assert value(await desk.run(python("m:f"), attempt=2)) == "there again"


async def test_wrapped_functions_are_unwrapped(desk: Desk) -> None:
    desk.write(
        "m.py",
        "class Task:\n    def __init__(self, fn): self.fn = fn\n    def __call__(self): raise AssertionError\n"
        "@Task\ndef f(n: int) -> int: return n\n"
        "class C:\n    def method(n: int = 2): return n\n",
    )
    assert value(await desk.run(python("m:f"), {"with": {"n": 5}})) == 5
    assert value(await desk.run(python("m:C.method"))) == 2


@pytest.mark.parametrize("isolation", [THREAD, PROCESS])
async def test_a_task_may_ask_what_it_is(desk: Desk, isolation: str) -> None:
    desk.write(
        "m.py",
        "import os\nfrom headrace.runners.context import current\n"
        "def f():\n    c = current()\n    (c.work_dir / 'x').write_text('1')\n    c.log('hello')\n"
        "    return [c.run, c.workflow, c.task, c.map_index, list(c.map_path), c.attempt, c.effect_key,\n"
        "            str(c.work_dir)]\n",
    )
    path = pack((2, 1))
    report = await desk.run(python("m:f", task_id="each.price", isolation=isolation), map=path, attempt=3)
    *known, folder = value(report)
    assert known == ["run-1", "flow", "each.price", 1, [2, 1], 3, "run-1/0/each.price[2,1]"]
    assert not await asyncio.to_thread(os.path.exists, folder), "scratch is removed"
    lines = await desk.logs.read("run-1", "each.price", path, 0, 3)
    assert [line.text for line in lines] == ["hello"]


def test_an_effect_key_is_the_same_for_all_attempts_and_differs_between_task_runs() -> None:
    assert effect_key("r", 0, "a.b", pack((1,))) == "r/0/a.b[1]"
    keys = {
        effect_key("r", g, t, m) for g in (0, 1) for t in ("a", "b" * 300, "b" * 301) for m in (0, 1 << 42)
    }
    assert len(keys) == 12
    assert all(len(key) <= 200 and key.isascii() for key in keys)


def test_current_outside_of_a_task() -> None:
    from headrace.runners.context import current

    with pytest.raises(RuntimeError, match="only inside a running task"):
        current()


async def test_prints_and_log_records_go_to_the_attempt_that_wrote_them(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    async with opened(tmp_path) as desk:
        desk.write(
            "m.py",
            "import asyncio, logging, sys, time\n"
            "def f(n):\n    print('thread', n); time.sleep(0.01); print('err', n, file=sys.stderr)\n"
            "    logging.getLogger('shop').warning('odd %s', n); print('no newline', end='')\n"
            "async def g(n):\n    print('loop', n); await asyncio.sleep(0.01); print('again', n)\n",
        )
        sent = [
            desk.make(python(f"m:{name}", task_id=f"{name}{n}"), {"with": {"n": n}})
            for n in range(6)
            for name in ("f", "g")
        ]
        desk.send(*sent)
        await desk.hear(len(sent))
        for n in range(6):
            assert await desk.log(f"f{n}", stream="stdout") == [f"thread {n}", "no newline"]
            assert await desk.log(f"f{n}", stream="stderr") == [f"err {n}"]
            assert await desk.log(f"f{n}", stream="log") == [f"WARNING shop: odd {n}"]
            assert await desk.log(f"g{n}") == [f"loop {n}", f"again {n}"]
        print("outside")
        assert "thread" not in capsys.readouterr().out


async def test_streams_are_the_processes_own_again_when_the_worker_has_ended(tmp_path: Path) -> None:
    before = sys.stdout, sys.stderr
    async with opened(tmp_path):
        assert sys.stdout is not before[0]
    assert (sys.stdout, sys.stderr) == before


async def test_context_variables_do_not_leak_into_the_next_task(tmp_path: Path) -> None:
    async with opened(tmp_path, slots=1) as desk:
        desk.write(
            "m.py",
            "from contextvars import ContextVar\nvar = ContextVar('var', default=0)\n"
            "def f():\n    seen = var.get(); var.set(1); return seen\n"
            "async def g():\n    seen = var.get(); var.set(1); return seen\n",
        )
        for name in ("f", "f", "g", "g", "f"):
            assert value(await desk.run(python(f"m:{name}"))) == 0


async def test_two_folders_with_modules_of_the_same_name(desk: Desk, tmp_path: Path) -> None:
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "shop.py").write_text("import prices\ndef f(): return prices.NAME\n")
        (folder / "prices.py").write_text(f"NAME = {name!r}\n")
    for name in ("one", "two", "one"):
        assert value(await desk.run(python("shop:f", folder=str(tmp_path / name)))) == name


async def test_a_folder_being_worked_on_is_imported_again_when_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from headrace.runners import modules

    monkeypatch.setattr(modules, "RELOAD_EVERY", 0.0)
    async with opened(tmp_path, reload=True) as desk:
        desk.write("inner.py", "V = 1\n")
        desk.write("m.py", "import inner\ndef f(): return inner.V\n")
        assert value(await desk.run(python("m:f"))) == 1
        desk.write("inner.py", "V = 'longer'\n")
        os.utime(desk.app / "inner.py", (1, 1))
        assert value(await desk.run(python("m:f"))) == "longer"


async def test_coroutines_run_beside_each_other(desk: Desk) -> None:
    desk.write(
        "m.py",
        "import asyncio\nqueue = asyncio.Queue()\nasync def give(): await queue.put(7)\n"
        "async def take(): return await queue.get()\n",
    )
    first = desk.make(python("m:take"))
    desk.send(first, desk.make(python("m:give")))
    assert {report.output for report in await desk.hear(2)} == {b"7", None}


async def test_a_cancelled_coroutine_may_clean_up(desk: Desk) -> None:
    desk.write(
        "m.py",
        "import asyncio\ncleaned = []\nasync def f():\n    try: await asyncio.sleep(60)\n"
        "    finally: cleaned.append(1)\n"
        "async def own(): raise asyncio.CancelledError\n",
    )
    running = desk.make(python("m:f"))
    desk.send(running)
    await desk.hear(1, "started")
    desk.abort(running)
    assert [report.kind for report in await desk.hear(1)] == ["cancelled"]
    from headrace.runners.modules import Folder

    assert Folder.at(str(desk.app)).load("m").cleaned == [1]
    assert error(await desk.run(python("m:own"))).kind == "CancelledError"


TOGETHER = """
import asyncio
from contextvars import ContextVar
from headrace.dsl import current
var = ContextVar("var", default=0)
gate = asyncio.Event()
async def quick():
    seen = var.get(); var.set(1)
    async with asyncio.timeout(60): return [seen, current().task]
async def wait():
    seen = var.get(); var.set(2)
    await gate.wait()
    return [seen, var.get(), current().task]
async def leave():
    gate.set()
    asyncio.current_task().cancel()
async def forever(): await asyncio.sleep(3600)
async def do(how: str): return await globals()[how]()
"""


async def together(desk: Desk, *names: str) -> list[Dispatch]:
    """Send coroutines that the worker begins in one go: their function is known, so none goes by way of a thread."""
    desk.write("m.py", TOGETHER)
    await desk.run(python("m:do"), {"with": {"how": "quick"}})
    sent = [
        desk.make(python("m:do", task_id=f"{name}{at}"), {"with": {"how": name}})
        for at, name in enumerate(names, 1)
    ]
    desk.send(*sent)
    return sent


async def test_coroutines_that_begin_together_have_contexts_of_their_own_and_wait_for_each_other(
    desk: Desk,
) -> None:
    sent = await together(desk, "quick", "wait", "quick", "wait", "leave")
    ended = {report.task: value(report) for report in await desk.hear(5)}
    assert [ended[dispatch.task] for dispatch in sent] == [
        [0, "quick1"],
        [0, 2, "wait2"],
        [0, "quick3"],
        [0, 2, "wait4"],
        None,
    ]


async def test_a_coroutine_that_cancels_its_task_and_ends_leaves_the_next_alone(desk: Desk) -> None:
    _, next_one = await together(desk, "leave", "wait")
    ended = {report.task: report for report in await desk.hear(2)}
    assert value(ended[next_one.task]) == [0, 2, "wait2"]


async def test_of_coroutines_that_begin_together_only_the_one_that_is_aborted_ends(desk: Desk) -> None:
    _, first, second = await together(desk, "quick", "forever", "forever")
    await desk.hear(2, "started")
    for dispatch in (first, second):
        desk.abort(dispatch)
        (report,) = await desk.hear(1, "cancelled")
        assert report.task == dispatch.task


async def test_a_process_of_its_own_keeps_the_worker_free_and_can_be_killed(desk: Desk) -> None:
    desk.write(
        "m.py", "import re, os\ndef f():\n    re.match(r'(a+)+$', 'a' * 64 + 'b')\ndef die(): os._exit(3)\n"
    )
    report = await desk.run(python("m:f", isolation=PROCESS, limits=Limits(attempt=2.0, grace=0.2)))
    assert error(report).reason == "timed_out"
    problem = error(await desk.run(python("m:die", isolation=PROCESS)))
    assert (problem.kind, problem.exit_code) == ("exit", 3)


async def test_env_gives_a_python_task_a_process_with_these_variables(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_TOKEN", "canary")
    monkeypatch.setenv("PLAIN", "kept")
    desk.write(
        "m.py",
        "import os\ndef f(): return {k: v for k, v in os.environ.items() if k in ('A', 'B', 'N', 'L', 'PLAIN')"
        " or k.startswith('HEADRACE_')}\n",
    )
    seen = value(await desk.run(python("m:f"), {"env": {"A": "x", "B": True, "N": None, "L": [1, "a"]}}))
    assert (seen["A"], seen["B"], seen["L"], seen["PLAIN"]) == ("x", "true", '[1,"a"]', "kept")
    assert "N" not in seen
    assert "canary" not in seen.values()
    assert seen["HEADRACE_EFFECT_KEY"].startswith("run-1/0/task")


async def test_large_outputs_go_to_the_artifact_store_and_come_back_as_inputs(desk: Desk) -> None:
    """faults 60."""
    desk.write(
        "m.py",
        "def big(): return 'x' * 200_000\ndef size(text: str, note: str): return [len(text), len(note)]\n",
    )
    report = await desk.run(python("m:big"))
    assert report.output is None
    assert report.artifact is not None
    stored = Artifact(report.artifact.uri, report.artifact.digest, report.artifact.size)
    assert len(await desk.artifacts.get(stored)) == 200_002
    part = {"artifact": stored.uri, "digest": stored.digest, "size": stored.size}
    holes = [Hole(["with", "text"], [part]), Hole(["with", "note"], ["note: ", part])]
    inputs = {"with": {"text": None, "note": None}}
    assert value(await desk.run(python("m:size"), inputs, holes=holes)) == [200_000, 200_006]
    assert inputs == {"with": {"text": None, "note": None}}, "the message is left as it was"
    missing = {"artifact": "sha256/00/" + "0" * 64, "digest": "0" * 64, "size": 1}
    problem = error(await desk.run(python("m:size"), inputs, holes=[Hole(["with", "text"], [missing])]))
    assert (problem.reason, problem.retryable) == ("artifact_error", True)


async def test_an_output_above_the_cap_fails_the_task_not_the_worker(tmp_path: Path) -> None:
    async with opened(tmp_path, largest_output=100_000) as desk:
        desk.write("m.py", "def big(): return 'x' * 100_000\ndef fits(): return 'x' * 99_998\n")
        assert error(await desk.run(python("m:big"))).reason == "invalid_output"
        assert (await desk.run(python("m:fits"))).kind == "succeeded"


async def test_a_switch_is_a_function_that_names_ids(desk: Desk) -> None:
    from tests.integration.runners.desk import job

    desk.write("m.py", "def choose(n: int): return ['a', 'b'] if n else 'c'\n")
    switch = job("switch", {"function": "m:choose"})
    assert value(await desk.run(switch, {"with": {"n": 1}})) == ["a", "b"]
    assert value(await desk.run(switch, {"with": {"n": 0}})) == "c"


async def test_a_lambda_around_a_coroutine_function(desk: Desk) -> None:
    desk.write("m.py", "async def f(): return 1\ng = lambda: f()\n")
    assert value(await desk.run(python("m:g"))) == 1
    await asyncio.sleep(0)
