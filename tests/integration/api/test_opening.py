"""An office over a home: what the application answers is what its engine did."""

from __future__ import annotations

from tests.support.api import HELLO, Api


async def test_a_run_by_way_of_the_api(api: Api) -> None:
    ended = await api.ran(HELLO, {"params": {"name": "Ada"}})
    assert ended["state"] == "succeeded"
    assert ended["output"] == {"hello": "Ada"}


async def test_python_is_found_beside_the_workflows(api: Api) -> None:
    (api.folder / "greetings.py").write_text("def greet(name):\n    return f'Hello, {name}'\n")
    ended = await api.ran(
        "workflow: polite\ntasks:\n  greet: {python: 'greetings:greet', with: {name: Ada}}\noutput: ${{ tasks.greet.output }}\n"
    )
    assert ended["output"] == "Hello, Ada"
