# mypy: disable-error-code="empty-body"
from typing import Any

from headrace.dsl.python import Cache, expr, item, literal, outcome, run, task, workflow


@task(isolation="process", queue="gpu")
def load(seed: int) -> Any: ...


@task(queue="gpu", labels={"gpu": "a100"}, tolerate=2, on_empty="succeed")
def fit(data: Any, rate: float, depth: int) -> Any: ...


@task
def score(model: Any, weight: int) -> float: ...


@task
def best(scores: list[float], label: str, options: dict[str, Any]) -> Any: ...


@workflow
def training(seed: int = 1, notes: str | None = None) -> Any:
    data = load(seed)
    fits = (
        fit.partial(data=data.train)
        .options(max_items=50, cache=Cache("1d", key=[seed, item.rate], version="2"))
        .product(rate=[0.1, 0.01], depth=data.depths)
    )
    scores = score.options(trigger_rule="none_failed", fail_fast=True).map(fits, [1, 2])
    worth = (outcome(fits).counts.failed < 3) & ~((outcome(scores).state == "skipped") | (notes == "none"))
    found = best.options(when=worth)(
        scores,
        label=f"run {run.id}: {expr('size(f)', f=fits)} models",
        options={"deep": [data[0].name, None, 1.5], "text": literal("${{ as it is")},
    )
    return {"best": found, "of": fits}
