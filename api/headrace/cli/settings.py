"""Settings: flag > `HEADRACE_*` > `HEADRACE_*_FILE` > `.env` > `headrace.toml` > default, each with its source known.

`headrace config show` prints what is here, so a new setting needs nothing but a field.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, StringConstraints, ValidationError
from pydantic_core import PydanticCustomError
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from headrace.cli.failure import Status, Stop
from headrace.engine.core.problems import did_you_mean

if TYPE_CHECKING:
    from headrace.engine.broker.kafka.settings import KafkaSettings

TOML = "headrace.toml"
DOTENV = ".env"
SHORTEST_HIDDEN = 12
"""Characters of a password that is taken out of answers; a shorter one is a word of the language sooner or later."""


def _words(value: object) -> object:
    """`a, b` as in an environment variable; a TOML list stays as it is."""
    if isinstance(value, str):
        return [word for word in value.replace(",", " ").split() if word]
    return value


def _sizes(value: object) -> object:
    """`warehouse=2, api=4` as in an environment variable; a TOML table stays as it is."""
    if not isinstance(value, str):
        return value
    sizes: dict[str, str] = {}
    for word in value.replace(",", " ").split():
        name, _, size = word.partition("=")
        if name in sizes:
            raise PydanticCustomError("pool_twice", "pool {name} stands there twice", {"name": name})
        sizes[name] = size
    return sizes


def _reachable(entries: tuple[str, ...]) -> tuple[str, ...]:
    """Host names, addresses and networks, as the policy of http tasks reads them."""
    if entries:
        from headrace.runners.http_policy import HttpPolicy

        try:
            HttpPolicy(entries)
        except ValueError as error:
            said = str(error).removeprefix("HEADRACE_HTTP_ALLOW: ").rstrip(".")
            raise PydanticCustomError("unreachable", "{said}", {"said": said}) from None
    return entries


def _proxies(entries: tuple[str, ...]) -> tuple[str, ...]:
    """Addresses and networks."""
    from ipaddress import ip_network

    for entry in entries:
        try:
            ip_network(entry, strict=False)
        except ValueError as error:
            raise PydanticCustomError("no_network", "{said}", {"said": str(error)}) from None
    return entries


PoolName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,99}$")]
PoolSize = Annotated[int, Field(ge=1, le=1_000_000)]
PoolSizes = Annotated[dict[PoolName, PoolSize], NoDecode, BeforeValidator(_sizes)]
Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words)]
Reachable = Annotated[Words, AfterValidator(_reachable)]
Proxies = Annotated[Words, AfterValidator(_proxies)]


class Settings(BaseSettings):
    """What a user may set, and nothing else. Relative paths count from the current folder."""

    model_config = SettingsConfigDict(env_prefix="HEADRACE_", extra="ignore", frozen=True)

    home: Path = Field(Path(".headrace"), description="where embedded runs keep database, artifacts and logs")
    database_url: str | None = Field(
        None, repr=False, description="sqlite:///… or postgresql://…; unset: headrace.db in home"
    )
    kafka: Words = Field((), description="Kafka bootstrap servers, host:port; unset: embedded")
    kafka_prefix: str = Field(
        "", pattern=r"^[A-Za-z0-9._-]{0,100}$", description="stands before every topic's name"
    )
    kafka_security: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"
    )
    kafka_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="how the password is shown: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"
    )
    kafka_user: str | None = Field(None, description="the user, with a security that begins with SASL")
    kafka_password: SecretStr | None = Field(None, description="the password that goes with kafka_user")
    kafka_ca: Path | None = Field(None, description="PEM file of Kafka's authority; unset: the system's")
    kafka_cert: Path | None = Field(
        None, description="PEM file of our own certificate, where Kafka asks for one"
    )
    kafka_cert_key: Path | None = Field(None, description="PEM file of its key; unset: it is in kafka_cert")
    kafka_replication: int | None = Field(
        None, ge=1, le=32, description="replicas of topics that are made; unset: three, or as many as brokers"
    )
    kafka_inboxes: int = Field(
        16, ge=1, le=10_000, description="partitions of a queue's topic when the first one is made"
    )
    redis_url: str | None = Field(
        None,
        repr=False,
        description="redis://… or rediss://…, for a cluster; unset: no cache outside the process",
    )
    redis_prefix: str = Field(
        "headrace:",
        pattern=r"^[A-Za-z0-9._:-]{0,100}$",
        description="stands before every key and channel in Redis",
    )
    server: str | None = Field(None, description="the API to talk to, https://…; unset: this machine")
    token: SecretStr | None = Field(None, description="the API token that goes with server")
    secret: SecretStr | None = Field(
        None,
        description="what the API signs logins with: 32 random bytes or more, the same for all its processes",
    )
    secret_previous: SecretStr | None = Field(
        None, description="the secret before this one, while logins signed with it still live (15 minutes)"
    )
    trusted_proxies: Proxies = Field(
        (), description="addresses and networks of our own proxies, whose X-Forwarded-For the API believes"
    )
    rate_asker: float = Field(
        1000.0,
        ge=0,
        allow_inf_nan=False,
        description="requests a second that a user or token may make; 0: no limit",
    )
    rate_address: float = Field(
        20.0,
        ge=0,
        allow_inf_nan=False,
        description="requests a second from an address without a login or token that is known already; 0: no limit",
    )
    allowed_hosts: Words = Field(
        (),
        description="names that requests to the API may be sent to, *.example.com for all below one; unset: any",
    )
    cors_origins: Words = Field(
        (), description="sites whose pages may call the API from a browser, https://…; unset: none"
    )
    max_starts: int = Field(
        10_000, ge=1, description="runs that may wait for an engine before the API takes no more"
    )
    events: bool = Field(
        False, description="tell job-events of every move of runs and task runs; the same for all engines"
    )
    streams: int = Field(
        200, ge=1, le=100_000, description="live streams that one asker may have open at one API process"
    )
    retention: int | None = Field(
        None,
        ge=1,
        description="days that ended runs are kept in full mode, with history and logs; unset: for ever",
    )
    metrics: str | None = Field(
        None, description="host:port where engine and worker show metrics for Prometheus; unset: nowhere"
    )
    metrics_public: bool = Field(False, description="whether /metrics of the API asks nobody who they are")
    access_log: bool = Field(False, description="whether the API logs every request, without its query")
    log: Literal["json", "text"] | None = Field(
        None, description="how processes that serve log: json or text; unset: text in a terminal, else json"
    )
    project: str = Field("default", description="the owner of workflows, runs, pools and secrets")
    slots: int | None = Field(
        None, ge=1, le=100_000, description="how many tasks at once in embedded runs; unset: by the machine"
    )
    pools: PoolSizes = Field(
        default_factory=dict, description="sizes of pools in embedded runs, as warehouse=2, api=4"
    )
    http_allow: Reachable = Field(
        (), description="private addresses that http tasks may call: host names, addresses, networks"
    )
    secrets_dir: Path | None = Field(None, description="a folder with one file per secret")
    artifacts: str | None = Field(
        None,
        description="where large values lie, for engines and workers alike: a folder, s3://…, gs://…, az://…; "
        "unset: in home",
    )

    @property
    def artifact_store(self) -> str:
        """The place to open: `artifacts`, or a folder in home."""
        return self.artifacts or str(self.home.absolute() / "artifacts")

    @property
    def signing_keys(self) -> tuple[str, ...]:
        """What logins are signed with, and were until lately: `headrace.api.access.signing.Signer`."""
        found = (self.secret, self.secret_previous)
        return tuple(each.get_secret_value() for each in found if each is not None)

    @property
    def own_secrets(self) -> tuple[str, ...]:
        """What this process was given that must not leave it: keys, the token, passwords, also those within addresses."""
        words = (self.kafka_password, self.token)
        urls = (self.database_url, self.redis_url)
        passwords = [urlsplit(url).password for url in urls if url]
        found = (*self.signing_keys, *(word.get_secret_value() for word in words if word), *passwords)
        return tuple(secret for secret in found if secret and len(secret) >= SHORTEST_HIDDEN)

    @property
    def kafka_settings(self) -> KafkaSettings:
        """How to reach Kafka. Raises Stop when none is named."""
        from headrace.engine.broker.kafka.settings import KafkaSettings

        if not self.kafka:
            raise Stop(
                "this needs Kafka, and HEADRACE_KAFKA names none.",
                hint="Set it to host:port of its brokers; headrace lab up starts one here.",
                status=Status.SERVICE,
            )
        password = self.kafka_password
        return KafkaSettings(
            bootstrap=self.kafka,
            prefix=self.kafka_prefix,
            inboxes=self.kafka_inboxes,
            replication=self.kafka_replication,
            security=self.kafka_security,
            mechanism=self.kafka_mechanism,
            user=self.kafka_user,
            password=None if password is None else password.get_secret_value(),
            ca=_text(self.kafka_ca),
            cert=_text(self.kafka_cert),
            cert_key=_text(self.kafka_cert_key),
        )

    @property
    def asked_project(self) -> str | None:
        """The project that a server is asked about; None where none is named: it is the token's then."""
        return self.project if "project" in self.model_fields_set else None

    @property
    def on_postgres(self) -> bool:
        """Whether the database is one that several processes share."""
        return bool(self.database_url) and not str(self.database_url).startswith("sqlite")

    @property
    def database(self) -> str:
        """The URL to open: `database_url`, or the file in home."""
        return self.database_url or f"sqlite:///{self.home.absolute() / 'headrace.db'}"


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


@dataclass(frozen=True, slots=True)
class Loaded:
    """Checked settings, and for each field where its value came from: "--home", "HEADRACE_HOME", ".env", …"""

    settings: Settings
    origins: Mapping[str, str]

    def shown(self, name: str) -> object:
        """A value fit for a screen: secrets and passwords are masked."""
        value = getattr(self.settings, name)
        if isinstance(value, SecretStr):
            return "********"
        if isinstance(value, str) and name.endswith("_url"):
            return mask_password(value)
        if isinstance(value, Path):
            return str(value)
        if isinstance(value, tuple):
            return list(value)
        return value


def mask_password(url: str) -> str:
    """`postgresql://me:secret@db/x` as `postgresql://me:********@db/x`."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{parts.username or ''}:********@{host}").geturl()


def load_settings(flags: Mapping[str, Any], folder: Path | None = None) -> Loaded:
    """Gather the settings. `flags` holds what was given on the command line; None means not given.

    Raises Stop (status 2) for a value that does not fit, naming where it was written.
    """
    folder = folder or Path()
    given = {name: value for name, value in flags.items() if value is not None}
    layers: list[tuple[str, Mapping[str, Any]]] = [
        ("--{flag}", given),
        ("{variable}", EnvSettingsSource(Settings)()),
        ("{variable}_FILE", _mounted()),
        (DOTENV, DotEnvSettingsSource(Settings, env_file=folder / DOTENV)()),
        (TOML, _toml(folder / TOML)),
    ]
    values: dict[str, Any] = {}
    origins = dict.fromkeys(Settings.model_fields, "default")
    for origin, layer in reversed(layers):
        for name, value in layer.items():
            if name in Settings.model_fields:
                values[name] = value
                origins[name] = origin.format(
                    flag=name.replace("_", "-"), variable=f"HEADRACE_{name.upper()}"
                )
    try:
        settings = _Gathered.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0])
        raise Stop(
            f"{origins[name]}: {name} cannot be {first['input']!r}: {first['msg']}.",
            hint=f"{name}: {Settings.model_fields[name].description}",
        ) from None
    return Loaded(settings, origins)


class _Gathered(Settings):
    """Settings from the values gathered above alone; the sources were read there, once, with their names."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


def _mounted() -> dict[str, str]:
    """`HEADRACE_TOKEN_FILE=/run/secrets/token` gives the file's text, without the newline at its end."""
    found: dict[str, str] = {}
    for name in Settings.model_fields:
        variable = f"HEADRACE_{name.upper()}_FILE"
        if path := os.environ.get(variable):
            try:
                found[name] = Path(path).read_text(encoding="utf-8").rstrip("\r\n")
            except (OSError, UnicodeDecodeError) as error:
                raise Stop(f"{variable}: {path} cannot be read: {error}.") from None
    return found


def _toml(path: Path) -> dict[str, Any]:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Stop(f"{path}: {error}.") from None
    for key in document:
        if key not in Settings.model_fields:
            raise Stop(f'{path}: there is no setting "{key}".', hint=did_you_mean(key, Settings.model_fields))
    return document
