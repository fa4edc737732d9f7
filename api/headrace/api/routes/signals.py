"""Signals: what tasks that wait are told from outside."""

from __future__ import annotations

from typing import Any

from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, RawBody

from headrace.api.access.asking import Asker
from headrace.api.access.guarding import OPERATOR
from headrace.api.asking.signalling import new_signal, send
from headrace.api.asking.starting import key_reused
from headrace.api.office import Office
from headrace.api.routes.repeating import REPLAYED, asked
from headrace.api.shapes.waits import SignalAnswer, SignalBody
from headrace.engine.ports.acts import Repeated


@post("/signals/{name:str}", opt=OPERATOR, status_code=202, summary="Send a signal")
async def send_signal(
    request: Request[Any, Any, Any],
    office: NamedDependency[Office],
    asker: NamedDependency[Asker],
    name: FromPath[str],
    body: RawBody,
    data: JSONBody[SignalBody | None] = None,
) -> Response[SignalAnswer]:
    """It reaches every task of the project that waits for it, and for a week those that begin to and look back so far. `id` is null
    when this very request came before: it was sent once."""
    given = data or SignalBody()
    signal = new_signal(asker.project, name, given.key, given.payload, asker.actor)
    act = asker.act("signal.send", f"signal {name}", {"key": given.key}, asked(request, body))
    try:
        id = await send(office.store, signal, act, office.nudge)
    except Repeated as repeated:
        if not repeated.same:
            raise key_reused() from None
        answer = SignalAnswer(id=None, name=name, key=given.key)
        return Response(answer, status_code=202, headers=REPLAYED)
    return Response(SignalAnswer(id=id, name=name, key=given.key), status_code=202)


ROUTES = [send_signal]
