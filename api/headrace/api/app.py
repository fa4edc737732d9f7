"""The Litestar application: routes, who may call them, and how every error is answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from litestar import Litestar, Router
from litestar.config.cors import CORSConfig
from litestar.datastructures import State
from litestar.di import Provide
from litestar.types import ControllerRouterHandler, Receive, Scope, Send

from headrace.api.access.asking import Asker
from headrace.api.access.guarding import Gate, asker, guard
from headrace.api.access.identity import Doors
from headrace.api.access.redacting import Redaction, redactor
from headrace.api.answering import HANDLERS
from headrace.api.headers import Border, Policy
from headrace.api.heads import Heads
from headrace.api.limits import Limits
from headrace.api.live.ending import Ending
from headrace.api.office import Office
from headrace.api.openapi import described, tag_of
from headrace.api.operated.lag import Lag
from headrace.api.operated.metrics import Metrics, of_api, of_lag
from headrace.api.operated.requests import Requests
from headrace.api.routes import (
    approvals,
    attempts,
    audit,
    auth,
    backfills,
    bulk,
    commands,
    docs,
    graph,
    health,
    letters,
    live,
    pools,
    registering,
    runs,
    schedules,
    signals,
    starting,
    tasks,
    tokens,
    users,
    workers,
    workflows,
)
from headrace.api.routes.metrics import route as metrics_route

ROOT = "/api/v1"
PARTS = (
    workflows,
    registering,
    starting,
    runs,
    commands,
    bulk,
    tasks,
    graph,
    attempts,
    letters,
    live,
    schedules,
    backfills,
    approvals,
    signals,
    pools,
    workers,
    auth,
    users,
    tokens,
    audit,
)


if TYPE_CHECKING:
    from opentelemetry.trace import Tracer


@dataclass(frozen=True, slots=True)
class Shown:
    """What operators see. `requests`: one line of the log for each; `metrics_public`: /metrics asks nobody who they are;
    `tracer`: makes a span for each."""

    requests: bool = False
    metrics_public: bool = False
    tracer: Tracer | None = None


EXPOSED = ["Location", "Retry-After", "X-Request-Id", "Idempotency-Replayed"]
KEPT_FOR = 600
"""Seconds that a browser need not ask again whether another site may call."""


def create_app(
    office: Office, gate: Gate, policy: Policy | None = None, shown: Shown | None = None
) -> Litestar:
    """The application over an open office. `gate` says who asks; `policy`, what browsers are allowed; `shown`,
    what operators see."""

    async def provide_office() -> Office:
        return office

    policy = policy or Policy()
    shared: dict[str, Any] = {
        "dependencies": {"office": Provide(provide_office), "asker": Provide(asker)},
        "signature_types": [Office, Asker, Doors],
    }
    shown, lag = shown or Shown(), Lag()
    requests = Requests(_unmade, told=shown.requests, tracer=shown.tracer)
    metrics = Metrics(of_api(office, requests), of_lag(lag), *office.watched)
    hides = redactor(office.secrets)
    app = Litestar(
        route_handlers=[
            *_routes(),
            *docs.ROUTES,
            docs.schema_route(partial(_described, shared)),
            metrics_route(metrics, public=shown.metrics_public),
        ],
        guards=[guard],
        middleware=[*((Redaction(hides),) if hides else ()), Limits(), gate],
        exception_handlers=HANDLERS,
        cors_config=_cors(policy.origins),
        openapi_config=None,
        request_max_body_size=None,
        logging_config=None,
        lifespan=[lambda _: lag.measured()],
        state=State({"ending": Ending()}),
        debug=False,
        **shared,
    )
    requests.app = Border(Heads(app.asgi_handler), policy)
    app.asgi_handler = requests
    return app


async def _unmade(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError("the application is not complete")


def _routes() -> Sequence[ControllerRouterHandler]:
    """Every route that is described."""
    parts = [Router("/", route_handlers=part.ROUTES, tags=[tag_of(part.__name__)]) for part in PARTS]
    inner = Router("/", route_handlers=health.INNER, tags=[tag_of(health.__name__)])
    outer = Router("/", route_handlers=health.ROUTES, tags=[tag_of(health.__name__)])
    return [Router(ROOT, route_handlers=[*parts, inner]), outer]


def _described(shared: dict[str, Any]) -> bytes:
    return described(_routes(), **shared)


def _cors(origins: tuple[str, ...]) -> CORSConfig | None:
    """None: pages of other sites may not call. Cookies are never taken, so none is ever sent along."""
    if not origins:
        return None
    return CORSConfig(
        allow_origins=list(origins),
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=[
            "Authorization",
            "Content-Type",
            "Idempotency-Key",
            "Last-Event-ID",
            "X-Headrace-Project",
        ],
        expose_headers=EXPOSED,
        max_age=KEPT_FOR,
    )
