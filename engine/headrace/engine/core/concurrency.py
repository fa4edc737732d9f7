"""What a run asks for before it starts: its workflow's `limits.active_runs`, and one share for each of its `concurrency` keys."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache

from headrace.engine.core.evaluation import EvaluationError, Evaluator, Scope, Template
from headrace.engine.core.expressions import parse_template
from headrace.engine.core.limits import Name, Share
from headrace.engine.core.workflow import Concurrency, Json, Workflow

LONGEST = 200
"""Characters of a key's value; a longer one counts by its SHA-256."""


def shares_of(project: str, workflow: Workflow, scope: Scope, evaluator: Evaluator) -> tuple[Share, ...]:
    """All that a run takes at once or not at all. `scope`: `params`, `run` and `event`. A key that cannot be judged is null: nobody can
    ask for such a run, but one may be run again with another version of its workflow, and then waits rather than not."""
    active = workflow.limits.active_runs
    found: dict[Name, Share] = {}
    if active is not None:
        runs = (project, f"runs:{workflow.name}")
        found[runs] = Share(runs, size=active)
    for entry in workflow.concurrency:
        try:
            value = key_of(entry, scope, evaluator)
        except EvaluationError:
            value = "null"
        name = (project, f"key:{workflow.name}:{entry.key}", value)
        known = found.get(name)
        if known is None or known.size is None or entry.limit < known.size:
            found[name] = Share(name, size=entry.limit, strategy=entry.strategy)
    return tuple(found.values())


def asks(workflow: Workflow, scope: Scope, evaluator: Evaluator) -> dict[str, Json]:
    """The same for people: `active_runs`, and `concurrency` as a list of {key, value, limit, strategy}."""
    found: dict[str, Json] = {}
    if workflow.limits.active_runs is not None:
        found["active_runs"] = workflow.limits.active_runs
    if workflow.concurrency:
        shares = shares_of("", workflow, scope, evaluator)
        values = {share.name[1]: share.name[2] for share in shares if len(share.name) > 2}
        found["concurrency"] = [
            {
                "key": entry.key,
                "value": values[f"key:{workflow.name}:{entry.key}"],
                "limit": entry.limit,
                "strategy": entry.strategy,
            }
            for entry in workflow.concurrency
        ]
    return found


def key_of(entry: Concurrency, scope: Scope, evaluator: Evaluator) -> str:
    """What the key comes to: text as it is, anything else as JSON. Raises EvaluationError."""
    filled = evaluator.fill(_template(entry.key), scope)
    value: Json = filled.value
    if filled.holes:
        raise EvaluationError(entry.key, "the key of concurrency cannot hold a secret")
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, separators=(",", ":"))
    return text if len(text) <= LONGEST else hashlib.sha256(text.encode()).hexdigest()


@lru_cache(maxsize=1024)
def _template(key: str) -> Template:
    template = parse_template("${{ " + key + " }}")
    assert isinstance(template, Template)
    return template
