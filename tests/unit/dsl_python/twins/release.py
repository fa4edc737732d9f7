# mypy: disable-error-code="empty-body"
from datetime import timedelta
from typing import Annotated, Any

from headrace.dsl.python import Param, gate, noop, shell, sleep, switch, task, workflow


@task
def build(version: str) -> Any: ...
@task
def show(what: Any) -> None: ...
@task
def deploy(to: str, share: float) -> Any: ...
@task
def rollback(deployed: Any, why: str) -> None: ...
@task
def pick(level: int) -> list[str]: ...


@workflow(priority="high")
def release(version: Annotated[str, Param("What to release", pattern="^v")], dry: bool = False) -> None:
    built = build(version)
    tested = gate(built.passed, respect_trigger_rules=True, id="tested")
    main = gate(built.branch == "main", id="main", depends_on=tested)
    with switch(id="route", depends_on=main) as s:
        with s.case(dry):
            show(built)
        with s.case(built.size + 1 > 1000 * (2 - built.level)):
            canary = deploy.options(id="canary", on_lost="fail", compensate=rollback.partial(why="failed"))
            full = deploy.options(id="full")(canary("canary", 0.1).next, 1.0)
            shell('echo "$V"', env={"V": version}, id="note")
        with s.default():
            pass
    with switch(pick.partial(level=built.level), id="pick") as p, p.case():
        fast = noop(id="fast")
        slow = sleep(timedelta(minutes=90), id="slow")
    noop(id="done", depends_on=[full, fast, slow], trigger_rule="none_failed_min_one_success")
