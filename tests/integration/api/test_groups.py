"""Groups and maps: what stands for tasks or items runs nothing itself, and is not acted on."""

from __future__ import annotations

from pathlib import Path

from tests.support.api import opened
from tests.support.waiting import comes_true

AROUND = """
workflow: around
tasks:
  g: {tasks: {a: {sleep: 1h}}}
  m: {map: {over: [1, 2]}, sleep: 1h}
"""


async def test_what_stands_for_others_is_refused_and_they_are_not(tmp_path: Path) -> None:
    """A command on it would change nothing, and would be told as done."""
    async with opened(tmp_path) as api:
        await api.register(AROUND)
        run = await api.start("around")

        async def waits() -> bool:
            return bool((await api.get(f"/runs/{run}/tasks/m%5B1%5D"))["state"] == "waiting")

        await comes_true(waits, "the items do not wait")
        for task, instead in (("g", "tasks"), ("m", "items")):
            for action in ("skip", "succeed", "cancel", "retry"):
                answer = await api("POST", f"/runs/{run}/tasks/{task}/{action}?wait=30s", json={})
                assert (answer.status_code, answer.json()["code"]) == (409, "refused"), answer.text
                assert f"stands for its {instead}" in answer.json()["detail"]
        for task in ("g.a", "m%5B0%5D", "m%5B1%5D"):
            answer = await api("POST", f"/runs/{run}/tasks/{task}/skip?wait=30s", json={})
            assert answer.json()["decided"] is True, answer.text
        assert (await api.ended(run))["state"] == "succeeded"
