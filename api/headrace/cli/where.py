"""The options that say where to work: the home folder, the database, the project. Most commands take them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from headrace.cli.failure import Status, Stop
from headrace.cli.settings import Loaded, Settings, load_settings

KEEP_OUT_OF_GIT = "# Everything here is made by headrace and can be made again.\n*\n"


RunRef = Annotated[str, Parameter(help="A run's id, a unique beginning of it, or last.")]
TaskName = Annotated[str, Parameter(help="A task, or one item of it: price, price[7], each.encode[2,1].")]


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Where:
    """Flattened into a command's options."""

    home: Annotated[Path | None, Parameter(help="Folder for database, artifacts and logs [.headrace].")] = (
        None
    )
    database_url: Annotated[str | None, Parameter(help="sqlite:///… or postgresql://…")] = None
    project: Annotated[str | None, Parameter(help="The owner of workflows and runs [default].")] = None

    def load(self, **flags: object) -> Loaded:
        """All settings, with these options above everything else. Raises Stop."""
        return load_settings(
            {"home": self.home, "database_url": self.database_url, "project": self.project, **flags}
        )

    def settings(self, **flags: object) -> Settings:
        return self.load(**flags).settings


HERE = Where()


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Anywhere(Where):
    """The options of commands that work on a server as they do here. A place that is named on the command line goes before one
    that only a setting names."""

    server: Annotated[str | None, Parameter(help="The API to ask, https://… [this machine].")] = None

    def load(self, **flags: object) -> Loaded:
        """Settings whose `server` is None where the command is to work here. Raises Stop."""
        here = next((flag for flag in ("home", "database_url") if getattr(self, flag) is not None), None)
        if here is not None and self.server is not None:
            raise Stop(f"--server is elsewhere and --{here.replace('_', '-')} is here: give one of them.")
        loaded = load_settings(
            {
                "home": self.home,
                "database_url": self.database_url,
                "project": self.project,
                "server": self.server,
                **flags,
            }
        )
        if here is None:
            return loaded
        return Loaded(loaded.settings.model_copy(update={"server": None}), loaded.origins)


ANYWHERE = Anywhere()


def prepare(home: Path) -> Path:
    """Make the home folder, with a `.gitignore` that keeps all of it out of version control."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        ignore = home / ".gitignore"
        if not ignore.exists():
            ignore.write_text(KEEP_OUT_OF_GIT, encoding="utf-8")
    except OSError as error:
        raise Stop(
            f"{home} cannot be used as the home folder: {error.strerror or error}.",
            hint="Give another with --home or HEADRACE_HOME.",
            status=Status.SERVICE,
        ) from None
    return home.absolute()
