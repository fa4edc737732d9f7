"""The media fan-out in Python: the same plan, hash for hash, as media.yaml."""

from typing import Annotated

import studio

from headrace.dsl import Defaults, Param, group, item, shell, task, workflow

record = task(studio.record)
probe = task(studio.probe)
thumbnail = task(studio.thumbnail)
gallery = task(studio.gallery)

# A file never appears under its name before it is whole, so an attempt that dies leaves no broken one behind.
ENCODE = """\
gzip -n -c -"$LEVEL" "$CLIP" > "$TARGET.part"
mv "$TARGET.part" "$TARGET"
printf '{"file": "%s", "bytes": %d}\\n' "$TARGET" "$(wc -c < "$TARGET")"
"""


@group
def each(clip: studio.Clip, levels: list[int]) -> studio.Rendition:
    """One clip's own chain."""
    info = probe(clip.file)
    encoded = shell(
        ENCODE,
        id="encode",
        map=levels,
        when=info.seconds > 0.0,
        env={"LEVEL": item, "CLIP": clip.file, "TARGET": f"{clip.file}.{item}.gz"},
    )
    drawn = thumbnail(encoded, info.peak)
    return studio.Rendition(
        name=clip.name, seconds=info.seconds, smallest=drawn.encoded, thumbnail=drawn.image
    )


@workflow(tags=["media"], defaults=Defaults(timeout="1m"))
def media(
    count: Annotated[int, Param(minimum=1, maximum=200)] = 5,
    levels: list[int] = [1, 9],  # noqa: B006 - written into the plan, never changed
    out: Annotated[str, Param("Where the files go; counted from this folder.")] = "clips",
) -> studio.Gallery:
    """Probe, encode and draw every clip; show them in a gallery."""
    clips = record(count, out)
    renditions = each.partial(levels=levels).options(label="${{ clip.name }}", max_parallel=4).map(clips)
    return gallery(renditions, out)
