"""Polynomial regression by gradient descent, in plain Python: what the tasks of the training graph do."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
FEATURES = ("area", "rooms", "age")
EVERY = 4
"""One row in so many is kept back for evaluation."""


class Diverged(ArithmeticError):
    """The error grows without bounds: the learning rate is too high for these features."""


@dataclass(frozen=True)
class Set:
    """Rows of features, scaled to mean 0 and deviation 1, and the prices that go with them."""

    rows: list[list[float]]
    prices: list[float]


@dataclass(frozen=True)
class Sets:
    """What to learn from, and what to be judged by."""

    training: Set
    evaluation: Set


@dataclass(frozen=True)
class Model:
    """A trained model: its settings, and one weight per term of `terms`."""

    rate: float
    degree: int
    weights: list[float]


@dataclass(frozen=True)
class Score:
    """A model, and its root mean square error on rows that it has not seen."""

    model: Model
    error: float


@dataclass(frozen=True)
class Winner:
    """The best model's settings and error, and how many there were to choose from."""

    rate: float
    degree: int
    error: float
    of: int
    weights: list[float]


def prepare(data: str) -> Sets:
    """Read the homes, scale the features by the training rows alone, and keep every fourth row back."""
    with (HERE / data).open(encoding="utf-8", newline="") as stream:
        homes = [{name: float(text) for name, text in row.items()} for row in csv.DictReader(stream)]
    known = [home for number, home in enumerate(homes) if number % EVERY]
    unseen = [home for number, home in enumerate(homes) if not number % EVERY]
    means = {name: sum(home[name] for home in known) / len(known) for name in FEATURES}
    deviations = {
        name: math.sqrt(sum((home[name] - means[name]) ** 2 for home in known) / len(known))
        for name in FEATURES
    }

    def scaled(homes: Sequence[dict[str, float]]) -> Set:
        rows = [[(home[name] - means[name]) / deviations[name] for name in FEATURES] for home in homes]
        return Set(rows, [home["price"] for home in homes])

    return Sets(scaled(known), scaled(unseen))


def train(sets: Sets, steps: int, rate: float, degree: int) -> Model:
    """Descend `steps` times along the gradient of the mean square error. Raises Diverged."""
    inputs = [terms(row, degree) for row in sets.training.rows]
    prices, count = sets.training.prices, len(inputs)
    weights = [0.0] * len(inputs[0])
    for step in range(steps):
        errors = [product(weights, row) - price for row, price in zip(inputs, prices, strict=True)]
        if not math.fsum(error * error for error in errors) / count < 1e12:
            raise Diverged(f"rate {rate}, degree {degree}: the error ran away at step {step}")
        for place in range(len(weights)):
            slope = sum(error * row[place] for error, row in zip(errors, inputs, strict=True)) / count
            weights[place] -= rate * slope
    return Model(rate, degree, [round(weight, 6) for weight in weights])


def evaluate(model: Model, sets: Sets) -> Score:
    """How far off the model is, on average, where it could not learn by heart."""
    unseen = sets.evaluation
    squares = [
        (product(model.weights, terms(row, model.degree)) - price) ** 2
        for row, price in zip(unseen.rows, unseen.prices, strict=True)
    ]
    return Score(model, round(math.sqrt(sum(squares) / len(squares)), 4))


def choose(scores: list[Score]) -> Winner:
    """The model with the least error; of equals the simpler one."""
    best = min(scores, key=lambda score: (score.error, score.model.degree, score.model.rate))
    model = best.model
    return Winner(model.rate, model.degree, best.error, len(scores), model.weights)


def terms(row: Sequence[float], degree: int) -> list[float]:
    """1, and each feature to the powers 1 to `degree`; divided by the power's factorial, so that none outgrows the rest."""
    return [1.0, *(value**power / math.factorial(power) for power in range(1, degree + 1) for value in row)]


def product(weights: Sequence[float], row: Sequence[float]) -> float:
    """The scalar product."""
    return sum(weight * value for weight, value in zip(weights, row, strict=True))
