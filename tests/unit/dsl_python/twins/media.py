# mypy: disable-error-code="empty-body"
from typing import Any

from headrace.dsl.python import group, noop, shell, task, workflow


@task
def cut(video: Any) -> None: ...
@task
def split(video: str) -> list[str]: ...
@task
def encode(part: str, codec: str, size: int = 0) -> str: ...
@task
def pack(parts: list[str]) -> str: ...
@task
def index(files: list[Any]) -> Any: ...


@group
def encode_part(part: str, size: int) -> Any:
    first = encode.options(id="h264")(part, "h264", size)
    second = encode.options(id="av1", retry=5)(part, "av1")
    return shell(["join", first, second], cwd="work", id="join").file


@group
def each(video: Any) -> Any:
    trimmed = cut.options(teardown_of=[])(video)
    parts = split(video.url)
    files = encode_part.options(id="encode", depends_on=trimmed).partial(size=video.size).map(parts)
    return {"name": video.name, "file": pack(files)}


@group
def plain() -> Any:
    first = noop(id="first")
    noop(id="second", depends_on=first)


@workflow
def media(videos: list[dict[str, Any]]) -> Any:
    probe = shell(["probe", videos], id="probe")
    files = each.options(max_parallel=4, tolerate="10%", when=probe.ready).map(videos)
    last = plain.options(depends_on=files)()
    return index.options(depends_on=[last, "plain.first"])(files)
