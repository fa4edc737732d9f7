"""The training graph in Python: the same plan, hash for hash, as training.yaml."""

from typing import Annotated

import model

from headrace.dsl import Param, Retry, Rule, error, expr, task, workflow

prepare = task(model.prepare)
# At a rate that is too high the descent runs away from the minimum: no accident, so it is not tried again.
train = task(retry=Retry(rules=[Rule(on=error.kind == "Diverged", then="fail")]))(model.train)
evaluate = task(model.evaluate)
choose = task(model.choose)


@workflow(tags=["learning"])
def training(
    data: Annotated[str, Param("A CSV file; counted from this folder.")] = "data/homes.csv",
    rates: list[float] = [0.01, 0.1, 0.3, 2.0],  # noqa: B006 - written into the plan, never changed
    degrees: list[int] = [1, 2, 3],  # noqa: B006
    steps: Annotated[int, Param(minimum=1)] = 400,
) -> model.Winner:
    """Fit house prices by gradient descent at several settings and choose the best model."""
    sets = prepare(data)
    label = "rate ${{ item.rate }}, degree ${{ item.degree }}"
    models = (
        train.partial(sets=sets, steps=steps)
        .options(label=label, tolerate="50%")
        .product(rate=rates, degree=degrees)
    )
    came_out = expr("compact(models)", models=models)
    scores = evaluate.partial(sets=sets).options(as_="model").map(came_out)
    return choose(scores)
