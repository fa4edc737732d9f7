"""One trace from the request that starts a run to its attempts and what users trace within them, as a receiver gets it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from headrace.api.operated.tracing import given
from tests.support.api import opened, serving
from tests.support.receiver import Receiver, receiver, traceparent
from tests.support.waiting import PATIENCE

__all__ = ["receiver"]

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
MODULE = """
from opentelemetry import trace

def mine():
    with trace.get_tracer("users").start_as_current_span("inner"):
        pass

async def theirs():
    raise KeyError("hunter2")
"""
FLOW = """
workflow: traced
params: {word: {type: string, default: hunter2}}
tasks:
  mine: {python: "traced_code:mine"}
  spoken: {shell: 'echo "\\"$TRACEPARENT\\""', env: {WORD: "${{ params.word }}"}, depends_on: mine}
  theirs: {python: "traced_code:theirs", depends_on: spoken, retry: {attempts: 1}}
output: "${{ tasks.spoken.output }}"
"""


def attributes(span: Span) -> dict[str, str]:
    return {each.key: each.value.string_value for each in span.attributes}


def test_one_trace_from_the_request_to_the_attempts(tmp_path: Path, receiver: Receiver) -> None:
    flows = tmp_path / "flows"
    flows.mkdir()
    (flows / "traced.yaml").write_text(FLOW)
    (flows / "traced_code.py").write_text(MODULE)
    with serving(tmp_path, "dev", str(flows), OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url) as live:
        with live.client() as client:
            headers = {"traceparent": PARENT}
            started = client.post("/api/v1/workflows/traced/runs", json={}, headers=headers).json()
            ended = client.get(f"/api/v1/runs/{started['run']}?wait=30s").json()
        assert ended["state"] == "failed"
        assert live.end() == 0
    spans = receiver.spans
    request = spans["POST /api/v1/workflows/{name}/runs"]
    mine, inner, theirs = spans["traced mine"], spans["inner"], spans["traced theirs"]
    assert (request.trace_id.hex(), request.parent_span_id.hex()) == (PARENT[3:35], PARENT[36:52])
    assert {span.trace_id for span in (mine, inner, theirs, spans["traced spoken"])} == {request.trace_id}
    assert mine.parent_span_id == theirs.parent_span_id == request.span_id
    assert inner.parent_span_id == mine.span_id
    told = attributes(mine)
    assert (told["headrace.run"], told["headrace.task"], told["headrace.outcome"]) == (
        started["run"],
        "mine",
        "succeeded",
    )
    assert told["headrace.queue"] == "default"
    assert (theirs.status.code, attributes(theirs)["error.type"]) == (Status.STATUS_CODE_ERROR, "KeyError")
    assert b"hunter2" not in receiver.raw
    spoken = spans["traced spoken"]
    logs = list((tmp_path / "home" / "logs").rglob("*"))
    assert any(path.is_file() and traceparent(spoken) in path.read_text() for path in logs)


async def test_without_a_tracer_the_trace_of_a_request_still_goes_with_its_run(tmp_path: Path) -> None:
    async with opened(tmp_path) as api:
        await api.register("workflow: w\ntasks: {a: {noop: {}}}\n")
        run = await api.start("w", headers={"traceparent": PARENT})
        assert (await api.ended(run))["trigger"]["traceparent"] == PARENT
        run = await api.start("w", headers={"traceparent": "00-nonsense"})
        assert "traceparent" not in (await api.ended(run))["trigger"]


@pytest.mark.parametrize(
    "text",
    ["", PARENT.upper(), f"ff{PARENT[2:]}", f"{PARENT}-x", PARENT.replace("b7ad6b7169203331", "0" * 16)],
)
def test_what_is_no_trace_context_is_left_out(text: str) -> None:
    assert given([(b"traceparent", text.encode())]) is None
    assert given([(b"traceparent", PARENT.encode())] * 2) is None


def test_nothing_of_it_is_imported_unless_somebody_traces() -> None:
    code = "import sys, headrace.runners.worker, headrace.api.operated.tracing; print('opentelemetry' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    assert done.stdout.strip() == "False"
