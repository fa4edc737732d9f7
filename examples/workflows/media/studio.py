"""What the tasks of the media workflow do: record, probe and draw clips of sound."""

from __future__ import annotations

import gzip
import html
import io
import math
import struct
import wave
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
RATE = 8_000
NOTES = {"a": 440.0, "b": 493.88, "c": 523.25, "d": 587.33, "e": 659.26, "f": 698.46, "g": 783.99}


@dataclass(frozen=True)
class Clip:
    """A recording: its name, and its file with the whole path."""

    name: str
    file: str


@dataclass(frozen=True)
class Info:
    """What is known of a clip without decoding it twice. `peak` is the loudest sample, 0 to 1."""

    seconds: float
    peak: float


@dataclass(frozen=True)
class Encoded:
    """An encoded clip."""

    file: str
    bytes: int


@dataclass(frozen=True)
class Drawn:
    """The picture of a clip, and the encoded file it was drawn from: the smallest one."""

    image: str
    encoded: Encoded


@dataclass(frozen=True)
class Rendition:
    """All that came of one clip."""

    name: str
    seconds: float
    smallest: Encoded
    thumbnail: str


@dataclass(frozen=True)
class Gallery:
    """The page that shows all clips, how many they are, and their bytes once encoded."""

    page: str
    clips: int
    bytes: int


def record(count: int, out: str) -> list[Clip]:
    """Synthesise `count` clips, each a falling note of its own length."""
    clips = []
    for number in range(count):
        note, pitch = list(NOTES.items())[number % len(NOTES)]
        length = RATE * (2 + number % 3) // 10
        samples = [
            round(24_000 * (1 - i / length) * math.sin(2 * math.pi * pitch * i / RATE)) for i in range(length)
        ]
        sound = io.BytesIO()
        with wave.open(sound, "wb") as writer:
            writer.setnchannels(1)
            writer.setsampwidth(2)
            writer.setframerate(RATE)
            writer.writeframes(struct.pack(f"<{length}h", *samples))
        file = HERE / out / f"{number:03d}-{note}.wav"
        write(file, sound.getvalue())
        clips.append(Clip(f"Note {note.upper()}, take {number + 1}", str(file)))
    return clips


def probe(file: str) -> Info:
    """How long and how loud a clip is."""
    with open(file, "rb") as stream:
        rate, samples = decode(stream.read())
    return Info(round(len(samples) / rate, 3), round(max(map(abs, samples), default=0) / 32_768, 4))


def thumbnail(encoded: list[Encoded], peak: float) -> Drawn:
    """Draw the wave of the smallest encoding, scaled to its peak, as SVG."""
    smallest = min(encoded, key=lambda one: (one.bytes, one.file))
    with gzip.open(smallest.file) as stream:
        _, samples = decode(stream.read())
    columns = 120
    step = max(1, len(samples) // columns)
    bars = [
        max(map(abs, samples[i : i + step])) / (32_768 * (peak or 1))
        for i in range(0, step * columns, step)
        if samples[i : i + step]
    ]
    path = "".join(f"M{x} {30 - 28 * bar:.1f}V{30 + 28 * bar:.1f}" for x, bar in enumerate(bars))
    image = Path(smallest.file.removesuffix(".gz")).with_suffix(".svg")
    write(
        image,
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {columns} 60">'
        f'<path d="{path}" stroke="#2a6f97" fill="none"/></svg>\n'.encode(),
    )
    return Drawn(str(image), smallest)


def gallery(clips: list[Rendition], out: str) -> Gallery:
    """One page with every clip's picture."""
    figures = "\n".join(
        f'<figure><img src="{Path(clip.thumbnail).name}" width="240" alt="">'
        f"<figcaption>{html.escape(clip.name)}: {clip.seconds:.1f} s, {clip.smallest.bytes:,} bytes</figcaption></figure>"
        for clip in clips
    )
    page = HERE / out / "gallery.html"
    write(page, f"<!doctype html>\n<meta charset=utf-8>\n<title>Clips</title>\n{figures}\n".encode())
    return Gallery(str(page), len(clips), sum(clip.smallest.bytes for clip in clips))


def decode(sound: bytes) -> tuple[int, tuple[int, ...]]:
    """Rate and samples of a WAV file with one channel of 16 bits."""
    with wave.open(io.BytesIO(sound)) as reader:
        frames = reader.getnframes()
        return reader.getframerate(), struct.unpack(f"<{frames}h", reader.readframes(frames))


def write(path: Path, content: bytes) -> None:
    """Write a whole file or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.part")
    draft.write_bytes(content)
    draft.replace(path)
