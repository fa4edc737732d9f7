"""Metrics: what is scraped agrees with what was done, by few labels; and a process without an API serves them too."""

from __future__ import annotations

from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families

from headrace.api.operated.metrics import Metrics
from headrace.api.operated.serving import NoPlace, place_of, served
from headrace.engine.shell.figures import Figures, Histogram
from tests.support.api import Api, opened

FLOW = """
workflow: counted
tasks:
  first: {shell: "true"}
  again: {shell: 'test "$HEADRACE_ATTEMPT" = 2', retry: {attempts: 2, delay: 0s}}
  fails: {shell: "exit 3", depends_on: [first, again], retry: {attempts: 1}}
"""


async def scraped(api: Api) -> dict[str, dict[tuple[str, ...], float]]:
    answer = await api.client.get("/metrics", headers={"X-Role": "viewer"})
    assert answer.status_code == 200, answer.text
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


async def test_what_is_scraped_agrees_with_what_was_done(tmp_path: Path) -> None:
    async with opened(tmp_path) as api:
        assert (await api.ran(FLOW))["state"] == "failed"
        runs = [await api.ran(FLOW) for _ in range(2)]
        found = await scraped(api)
        assert found["headrace_runs_ended_total"][("failed",)] == 3
        assert found["headrace_task_moves_total"][("succeeded",)] == 6
        assert found["headrace_retries_total"][()] == 3
        assert found["headrace_dead_letters_total"][()] == 3
        assert found["headrace_dispatched_total"][()] == found["headrace_attempts_ended_total"][()] == 12
        assert found["headrace_first_task_seconds_count"][()] == 3
        assert found["headrace_dispatch_seconds_count"][()] >= 3
        assert found["headrace_commit_seconds_count"][()] > 0
        assert sum(found["headrace_runs"].values()) == 0
        assert found["headrace_parts_owned"][()] == 1
        assert found["headrace_cache_degraded"][()] == 0
        starts = found["headrace_api_requests_total"]["POST", "/api/v1/workflows/{name}/runs", "202"]
        assert starts == 3
        text = (await api.client.get("/metrics")).text
        assert runs[0]["run"] not in text
        assert "counted" not in text


async def test_strangers_do_not_see_metrics_and_nonsense_adds_no_label(tmp_path: Path) -> None:
    async with opened(tmp_path) as api:
        assert (await api.client.get("/metrics", headers={"X-Role": "nobody"})).status_code == 401
        for number in range(5):
            await api.client.get(f"/nothing/{number}")
        found = await scraped(api)
        assert found["headrace_api_requests_total"]["GET", "(none)", "404"] == 5
        assert not [labels for labels in found["headrace_api_requests_total"] if "nothing" in labels[1]]


def test_a_process_of_its_own_serves_metrics(caplog: pytest.LogCaptureFixture) -> None:
    def fails() -> list[object]:
        raise RuntimeError("away")

    with served(Metrics(fails), "127.0.0.1:0") as url:  # type: ignore[arg-type]
        place = urlsplit(url)
        connection = HTTPConnection(place.hostname or "", place.port, timeout=10)
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        assert (answer.status, b"python_info" in answer.read()) == (200, True)
        connection.close()
        connection.request("GET", "/other")
        assert connection.getresponse().status == 404
        connection.close()
        with (
            pytest.raises(NoPlace, match="cannot be listened on"),
            served(Metrics(), f"127.0.0.1:{place.port}"),
        ):
            pass
    assert "some metrics cannot be told" in caplog.text


def test_what_changes_while_it_is_looked_at_is_looked_at_again(caplog: pytest.LogCaptureFixture) -> None:
    workers = dict.fromkeys("ab", 1)

    def changing() -> Iterator[Metric]:
        for name in workers:
            if len(workers) == 2:
                workers["c"] = 1  # as the loop does meanwhile
            yield GaugeMetricFamily(f"slots_{name}", "Slots.", value=1)

    text = Metrics(changing).text()
    assert [text.count(b"\nslots_%c 1.0" % name) for name in b"abc"] == [1, 1, 1]
    assert caplog.text == ""


@pytest.mark.parametrize("text", ["", "host", "1.2.3.4:", "1.2.3.4:99999", "http://x:1", "::1:80"])
def test_what_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(NoPlace):
        place_of(text)


def test_places() -> None:
    assert place_of("9101") == ("127.0.0.1", 9101)
    assert place_of("[::1]:9101") == ("::1", 9101)


def test_a_histogram_counts_what_is_at_most_as_large_as_each_bound() -> None:
    taken = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 7.0):
        taken.observe(value)
    assert (taken.cumulative(), taken.total, taken.observed) == ([2, 3, 4], 10.0, 4)
    assert Figures().commit_seconds.observed == 0
