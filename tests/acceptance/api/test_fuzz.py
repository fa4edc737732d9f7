"""The API asked at random: by its description, and with whatever somebody might send as a workflow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.acceptance.api.fuzzing import Target, fuzz, target
from tests.acceptance.docs.pages import ROOT
from tests.support.waiting import PATIENCE

EXAMPLES = sorted(
    (path.read_text(encoding="utf-8") for path in (ROOT / "examples").rglob("*.yaml")),
    key=lambda text: (len(text), text),
)[:40]
UPLOAD = "/api/v1/workflows"
YAML, JSON = "application/yaml", "application/json"

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
words = st.sampled_from(
    [
        "workflow",
        "tasks",
        "params",
        "needs",
        "shell",
        "python",
        "map",
        "switch",
        "when",
        "output",
        "retry",
        "pool",
    ]
)
documents = st.dictionaries(words, values | st.dictionaries(words | st.text(max_size=8), values), max_size=6)

BOMBS = {
    "aliases": "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 60)),
    "depth": "workflow: deep\ntasks: " + "[" * 100_000,
    "json depth": '{"a":' * 50_000,
    "itself": "workflow: self\ntasks: &t\n  a: *t\n",
    "tag": "!!python/object/apply:os.system ['true']",
    "number": "workflow: n\ntasks: {a: {shell: x, timeout: " + "9" * 100_000 + "}}",
    "expression": 'workflow: e\ntasks: {a: {shell: "${{ ' + "(" * 20_000 + ' }}"}}',
    "power": 'workflow: p\ntasks: {a: {shell: "${{ 9 ** 9 ** 9 ** 9 }}"}}',
    "surrogate": '{"workflow": "\\ud800", "tasks": {}}',
    "nulls": "\0" * 1000,
    "documents": "---\n" * 10_000,
    "merge": "workflow: m\n<<: [" + "{a: 1}, " * 5000 + "]\n",
}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    with target(tmp_path_factory.mktemp("fuzzed")) as made:
        yield made


@pytest.fixture(scope="module")
def client(served: Target) -> Iterator[httpx2.Client]:
    head = {"Authorization": f"Bearer {served.tokens['admin']}"}
    with httpx2.Client(base_url=served.address, headers=head, timeout=PATIENCE) as made:
        yield made


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("role", "examples"), [("admin", 3), ("viewer", 1)])
def test_the_description_holds(served: Target, tmp_path: Path, role: str, examples: int) -> None:
    found = fuzz(served, role, examples, tmp_path)
    assert found.status == 0, found.report
    assert found.requests > 1000, found.report
    assert "Traceback" not in served.log.read_text()


def sent(client: httpx2.Client, content: bytes, kind: str) -> httpx2.Response:
    """What an upload is answered; a no is a problem and nothing else."""
    answer = client.post(UPLOAD, content=content, headers={"Content-Type": kind})
    shown = (answer.status_code, content[:500], answer.text[:500])
    assert answer.status_code in (200, 201) or 400 <= answer.status_code < 500, shown
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json", shown
        assert answer.json()["status"] == answer.status_code, shown
    return answer


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_is_refused(client: httpx2.Client, bomb: str) -> None:
    assert sent(client, BOMBS[bomb].encode(), JSON if bomb == "json depth" else YAML).status_code >= 400
    assert client.get("/health/live").status_code == 200


many = settings(
    max_examples=150,
    derandomize=True,
    deadline=None,
    phases=(Phase.generate,),
    suppress_health_check=list(HealthCheck),
)


@many
@given(
    content=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode(errors="replace"))
)
def test_any_bytes(client: httpx2.Client, content: bytes) -> None:
    for kind in (YAML, JSON):
        sent(client, content, kind)


@many
@given(document=documents)
def test_any_document(client: httpx2.Client, document: dict[str, object]) -> None:
    text = yaml.safe_dump({"workflow": "fuzzed", **document}, allow_unicode=True)
    sent(client, text.encode(errors="replace"), YAML)


@many
@given(data=st.data())
def test_an_example_that_was_damaged(client: httpx2.Client, data: st.DataObject) -> None:
    text = data.draw(st.sampled_from(EXAMPLES))
    begin = data.draw(st.integers(0, len(text)))
    end = min(len(text), begin + data.draw(st.integers(0, 40)))
    put = data.draw(
        st.text(max_size=12)
        | words
        | st.sampled_from(["\n", ": ", "- ", "${{ ", " }}", "&a ", "*a", "\t", "null"])
    )
    sent(client, (text[:begin] + put + text[end:]).encode(errors="replace"), YAML)
