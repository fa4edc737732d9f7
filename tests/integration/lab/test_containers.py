"""The container files: what they name exists, what they run is real, and the image holds what it is built from."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from headrace.cli.commands import COMMANDS
from headrace.cli.settings import Settings

ROOT = Path(__file__).parents[3]
COMPOSE = ROOT / "docker-compose.yml"
DOCUMENT: dict[str, Any] = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = DOCUMENT["services"]
OURS = [name for name, service in SERVICES.items() if "build" in service]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
EXAMPLE = dict(
    line.split("=", 1)
    for line in (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
)


def texts(value: Any) -> Iterator[str]:
    """Every text in a value, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)


def filled(text: str) -> str:
    """The text with its variables replaced as .env.example and the defaults say."""
    return re.sub(
        r"\$\{(\w+)(?::-([^}]*)|:\?[^}]*)?\}", lambda found: EXAMPLE.get(found[1], found[2] or ""), text
    )


def commands(service: dict[str, Any]) -> Iterator[list[str]]:
    """The words behind each `headrace` that a service of ours runs."""
    if service.get("entrypoint"):
        for line in service["command"]:
            for command in line.split(" && "):
                program, *words = filled(command).split()
                assert program == "headrace"
                yield words
    else:
        yield [filled(word) for word in service["command"]]


def named(words: list[str]) -> str:
    """The command that the words begin with."""
    known = {command.words for command in COMMANDS}
    for end in (2, 1):
        if (name := " ".join(words[:end])) in known:
            return name
    raise AssertionError(f"there is no command {words}")


def test_the_compose_file_is_one() -> None:
    package = importlib.util.find_spec("check_jsonschema")
    assert package is not None
    assert package.origin is not None
    schema = Path(package.origin).parent / "builtin_schemas" / "vendor" / "compose-spec.json"
    jsonschema.validate(DOCUMENT, json.loads(schema.read_text(encoding="utf-8")))


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_waits_for_exists_and_can_come_true(name: str) -> None:
    service = SERVICES[name]
    for other, condition in service.get("depends_on", {}).items():
        assert set(service["profiles"]) <= set(SERVICES[other]["profiles"]), f"{other} may not be there"
        match condition["condition"]:
            case "service_healthy":
                assert "healthcheck" in SERVICES[other]
            case "service_completed_successfully":
                assert SERVICES[other]["restart"].startswith(("no", "on-failure")), f"{other} never ends"
            case unknown:
                raise AssertionError(unknown)


def test_nothing_waits_for_itself() -> None:
    waits = {name: list(service.get("depends_on", {})) for name, service in SERVICES.items()}
    while free := [name for name, others in waits.items() if not others]:
        waits = {
            name: [o for o in others if o not in free] for name, others in waits.items() if name not in free
        }
    assert waits == {}


def test_every_variable_has_a_value_and_every_value_is_used() -> None:
    used = set()
    for text in texts(DOCUMENT):
        for variable, default in re.findall(r"\$\{(\w+)(:-|:\?|)", text):
            assert default == ":-" or variable in EXAMPLE, variable
            used.add(variable)
    assert set(EXAMPLE) == used | {"COMPOSE_PROFILES"}


def test_the_defaults_are_those_of_the_example() -> None:
    for text in texts(DOCUMENT):
        for variable, default in re.findall(r"\$\{(\w+):-([^}]*)\}", text):
            assert EXAMPLE[variable] == default


@pytest.mark.parametrize("name", OURS)
def test_what_our_services_run_exists_and_takes_those_options(name: str) -> None:
    for words in commands(SERVICES[name]):
        command = named(words).split()
        told = subprocess.run(
            [sys.executable, "-m", "headrace.cli.main", *command, "--help"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for word in words[len(command) :]:
            if word.startswith("--"):
                assert f"{word.partition('=')[0]} " in told


@pytest.mark.parametrize("name", OURS)
def test_our_services_are_told_settings_that_exist(name: str) -> None:
    for variable in SERVICES[name]["environment"]:
        assert variable.removeprefix("HEADRACE_").lower() in Settings.model_fields


def test_the_infrastructure_can_run_alone_and_all_of_it_together() -> None:
    alone = {name for name, service in SERVICES.items() if "infra" in service["profiles"]}
    assert alone == set(SERVICES) - set(OURS)
    assert all("full" in service["profiles"] for service in SERVICES.values())
    assert EXAMPLE["COMPOSE_PROFILES"] == "full"


def test_ports_are_open_on_this_machine_only() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(published) == 3
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_data_lie_in_volumes_that_are_declared() -> None:
    mounted = {
        volume.partition(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])
    }
    named_ones = {volume for volume in mounted if "$" not in volume}
    assert named_ones == set(DOCUMENT["volumes"])


def test_the_folder_of_workflows_exists() -> None:
    assert (ROOT / EXAMPLE["WORKFLOWS"]).is_dir()


def copied() -> list[str]:
    """What the Dockerfile takes from the checkout."""
    lines = re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
    return [source for line in lines for source in line.split()[:-1]]


def test_the_image_is_built_from_files_that_exist_and_are_not_ignored() -> None:
    let_in = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(copied()) == sorted(let_in)
    assert all((ROOT / source).exists() for source in copied())


def test_the_image_does_not_run_as_root() -> None:
    last = DOCKERFILE.rpartition("\nFROM ")[2]
    user = re.findall(r"^USER (\d+)", last, re.MULTILINE)
    assert user
    assert int(user[-1]) >= 1000


def test_what_the_image_copies_is_enough_for_a_whole_wheel(tmp_path: Path) -> None:
    for source in copied():
        target = tmp_path / "src" / source
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, target)
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "wheels")]
    done = subprocess.run(build, cwd=tmp_path / "src", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = (tmp_path / "wheels").glob("*.whl")
    within = set(zipfile.ZipFile(wheel).namelist())
    here = {
        file.relative_to(ROOT / part).as_posix()
        for part in ("engine", "dsl", "runners", "api")
        for file in (ROOT / part / "headrace").rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert here <= within


@pytest.mark.parametrize(
    "file", ["requirements.txt", "requirements-dev.txt", "deploy/requirements-build.txt"]
)
def test_every_requirement_is_pinned_and_hashed(file: str) -> None:
    text = (ROOT / file).read_text(encoding="utf-8").replace("\\\n", " ")
    for line in text.splitlines():
        assert re.match(r"^[a-z0-9._\[\],-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", line), line
    assert "://" not in text
