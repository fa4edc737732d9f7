"""Approvals as people and programs are shown them."""

from __future__ import annotations

from headrace.api.asking.approving import body_of, name_of
from headrace.api.shapes.waits import Agreement, ApprovalEntry
from headrace.api.showing.times import instant
from headrace.api.veiling import Veil
from headrace.engine.ports.waits import Waiting


def approval_entry(waiting: Waiting, veil: Veil) -> ApprovalEntry:
    body, row = body_of(waiting), waiting.row
    return ApprovalEntry(
        id=waiting.no,
        run=waiting.run_id,
        workflow=waiting.workflow,
        task=name_of(waiting),
        title=None if veil.redacted else body["title"],
        redacted=veil.redacted,
        form=body["form"],
        roles=body["roles"],
        approvers=body["approvers"],
        agreed=[
            Agreement(
                by=vote["by"], at=instant(vote["at"]), comment=None if veil.redacted else vote["comment"]
            )
            for vote in body["agreed"]
        ],
        self_=body["self"],
        since=instant(row.since),
        expires_at=instant(row.expires_at),
    )
