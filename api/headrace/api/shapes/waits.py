"""Approvals and signals, as the API shows and takes them. No Litestar here."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from headrace.api.shapes.runs import TEXT, Reason

SignalKey = Annotated[str, Meta(min_length=1, max_length=500, pattern=TEXT)]


class Agreement(msgspec.Struct, kw_only=True):
    """One person who agreed."""

    by: str
    at: str
    comment: str | None


class ApprovalEntry(msgspec.Struct, kw_only=True):
    """What a task asks of people. `task`: the task run, `pay[7]`. `title` is null, and `redacted` true, for a role that does not see
    values. `form`: JSON Schemas by field, of what is filled in. `roles`: who may decide, they and those above; empty: operators.
    `approvers`: how many must agree; `agreed`: who has. `self`: whether who started the run may."""

    id: int
    run: str
    workflow: str
    task: str
    title: str | None
    redacted: bool
    form: dict[str, dict[str, Any]]
    roles: list[str]
    approvers: int
    agreed: list[Agreement]
    self_: bool = msgspec.field(name="self")
    since: str
    expires_at: str | None


class ApproveBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`form`: what the approval asks for; what is left out takes its default."""

    form: dict[str, Any] = {}
    comment: Reason | None = None


class RejectBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`comment`: why not."""

    comment: Reason | None = None


class ApprovalAnswer(msgspec.Struct, kw_only=True):
    """What was said to an approval. `decided`: an engine has taken it; false while it is on its way."""

    id: int
    approved: bool
    decided: bool


class SignalBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`key`: for those who wait for this one, and for those who take any. `payload`: at most 32 KiB of JSON."""

    key: SignalKey | None = None
    payload: Any = None


class SignalAnswer(msgspec.Struct, kw_only=True):
    """The signal as it was stored: it reaches everybody who waits for it, and those who look back far enough later."""

    id: int | None
    name: str
    key: str | None
