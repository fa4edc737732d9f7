"""The keys of tasks, and which kind knows which (docs/language.md, section 5)."""

from __future__ import annotations

from typing import Any

from headrace.dsl.language.formulas import Condition, Inputs, Template
from headrace.dsl.language.kinds import TASKS
from headrace.dsl.language.policies import (
    CACHE,
    CONCURRENCY,
    LABELS,
    LOOP,
    POLL,
    POOL,
    QUEUE,
    RETRY,
    SOME,
    TIMEOUTS,
    MapShape,
)
from headrace.dsl.language.records import Key, ListOf, OrNull
from headrace.dsl.language.shapes import (
    Definitions,
    Duration,
    Flag,
    Schema,
    Shape,
    Text,
    Tolerance,
    Whole,
    Word,
    no_template,
    quote_hint,
)
from headrace.dsl.language.spot import Spot
from headrace.engine.core.plan import RULE_NAMES
from headrace.engine.core.trigger_rules import RuleProblem, canonical_rule
from headrace.engine.core.workflow import (
    Json,
    Priority,
)

PRIORITY = Word("high", "normal", "low", make=Priority)
TAGS = ListOf(Text(empty=False), "a list of tags", unique=True)
ENV = Inputs("a variable", identifiers=False)


class _Rule(Shape):
    """The name of a trigger rule, or an expression over upstream tasks; in its one spelling."""

    def read(self, value: Json, at: Spot) -> Any:
        if not isinstance(value, str):
            at.not_a("a trigger rule", value, quote_hint(value))
        elif no_template(value, at):
            try:
                return canonical_rule(value)
            except RuleProblem as problem:
                at.tell("invalid_trigger_rule", problem.message, problem.hint)
        return "all_success"

    def schema(self, definitions: Definitions) -> Schema:
        return {"anyOf": [{"enum": list(RULE_NAMES)}, {"type": "string", "pattern": "[( ]"}]}


class _Retry(Shape):
    """The fields of a retry policy that are written."""

    def read(self, value: Json, at: Spot) -> Any:
        return RETRY.given(value, at)

    def schema(self, definitions: Definitions) -> Schema:
        return RETRY.schema(definitions)


class _Timeouts(Shape):
    """The fields of timeouts that are written."""

    def read(self, value: Json, at: Spot) -> Any:
        return TIMEOUTS.given(value, at)

    def schema(self, definitions: Definitions) -> Schema:
        return TIMEOUTS.schema(definitions)


class Nested:
    """The key `compensate`: its value is a task, and a task is read with the defaults in sight (see `tasks`)."""

    name = field = "compensate"
    meaning = "A task that undoes this one when the run fails."

    def schema(self, definitions: Definitions) -> Schema:
        """What the key takes, with its meaning."""
        return {"$ref": "#/$defs/task", "description": self.meaning}


COMMON = (
    Key("depends_on", TASKS, "Tasks that come first."),
    Key("trigger_rule", _Rule(), "What their ends must be; all_success unless given."),
    Key("when", Condition(), "A condition, judged after the rule; false skips the task."),
    Key("map", MapShape(), "One run of the task per item."),
    Key("max_parallel", OrNull(Whole(1)), "Items at once."),
    Key("tolerate", Tolerance(), "How many items, or which share of them, may fail; 0 unless given."),
    Key("fail_fast", Flag(), "Whether items not yet started are cancelled once too many have failed."),
    Key("on_empty", Word("skip", "succeed"), "What no items at all means; skip unless given."),
    Key("tags", TAGS, "Words to select tasks by."),
    Key("description", Text(), "For people."),
)
GROUP = (
    Key("output", Template(), "What the group returns; a template."),
    Key("loop", LOOP, "Repeats the group."),
)
RUN = (
    Key("timeout", OrNull(Duration(SOME)), "One try may take this long; timeouts.attempt."),
    Key("timeouts", _Timeouts(), "Bounds in time."),
    Key("teardown_of", TASKS, "This task cleans up after these; it runs whatever happened since."),
    Key("fails_run", Flag(), "Whether a failure of this teardown or handler fails the run."),
    Nested(),
    Key("priority", OrNull(PRIORITY), "The run's unless given."),
    Key("concurrency", CONCURRENCY, "Limits over what has the same key."),
)
WITH = Key("with", Inputs("an input"), "Inputs; templates.", field="with_")
VARIABLES = Key("env", ENV, "Environment variables; templates.")
TRIED = Key("retry", _Retry(), "How often and when a failed try is repeated.")
ON_WORKER = (
    Key("queue", QUEUE, "Which workers take it; default unless given."),
    Key("labels", LABELS, "What a worker must have."),
    Key("pool", OrNull(POOL), "A pool of slots to hold one of."),
    Key("on_lost", Word("rerun", "fail"), "What a lost worker means; rerun unless given."),
)
WORK = (
    TRIED,
    *ON_WORKER,
    Key("cache", CACHE, "Use an earlier output again."),
    Key("poll", POLL, "Run again until a condition holds."),
)
ISOLATION = Key("isolation", Word("thread", "process"), "Where the function runs; thread unless given.")

TABLES: dict[str, dict[str, Key | Nested]] = {
    kind: {key.name: key for key in (*COMMON, *keys)}
    for kind, keys in {
        "python": (*RUN, *WORK, WITH, VARIABLES, ISOLATION),
        "shell": (*RUN, *WORK, VARIABLES),
        "http": (*RUN, *WORK),
        "container": (*RUN, *WORK, VARIABLES),
        "workflow": (*RUN, WITH),
        "sleep": RUN,
        "signal": RUN,
        "approval": RUN,
        "switch": (*RUN, WITH),
        "switch by python": (*RUN, TRIED, *ON_WORKER, WITH, VARIABLES, ISOLATION),
        "gate": RUN,
        "noop": RUN,
        "tasks": GROUP,
    }.items()
}
"""Which keys each kind knows, beside its own."""

DECIDED = frozenset(("workflow", "sleep", "signal", "approval", "switch", "gate", "noop"))
"""The kinds that no worker takes: the engine decides them, so they have no tries, no lease and nothing to stop."""
DECIDED_TIMEOUTS = frozenset(("total",))
"""What of `timeouts` those know."""
