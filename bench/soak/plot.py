"""The picture of a soak: one small chart for each kind of figure, as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

CHARTS = (
    ("memory, MiB", "memory_mib"),
    ("CPU, cores", "cpu"),
    ("open files", "open_files"),
    ("runs that go on", "unfinished"),
    ("bytes a run", "bytes_a_run"),
    ("dead rows", "dead_rows"),
    ("rows", "rows"),
    ("first task, ms: median and 99 of 100", "first_task_ms"),
    ("hop, ms: median and 99 of 100", "hop_ms"),
)
COLOURS = ("#1668b2", "#c2410c", "#15803d", "#7c3aed", "#b91c1c", "#0e7490", "#a16207")
WIDTH, HEIGHT, PAD, COLUMNS = 300, 130, 44, 3


def drawn(samples: Sequence[Mapping[str, float]]) -> str:
    """The charts of those samples. What does not occur in them has none."""
    charts = [
        (title, names)
        for title, kind in CHARTS
        if (names := [name for name in samples[-1] if _of(name, kind)])
    ]
    rows = -(-len(charts) // COLUMNS)
    width, height = COLUMNS * (WIDTH + PAD) + PAD, rows * (HEIGHT + 2 * PAD) + PAD
    body = "".join(
        _chart(
            title,
            names,
            samples,
            PAD + place % COLUMNS * (WIDTH + PAD),
            place // COLUMNS * (HEIGHT + 2 * PAD) + PAD,
        )
        for place, (title, names) in enumerate(charts)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="11">'
        f'<rect width="{width}" height="{height}" fill="white"/>{body}</svg>\n'
    )


def _of(name: str, kind: str) -> bool:
    last = name.rpartition(".")[2]
    return last == kind or (last.startswith(kind) and last[len(kind) :] in ("_p50", "_p99"))


def _chart(
    title: str, names: Sequence[str], samples: Sequence[Mapping[str, float]], left: float, top: float
) -> str:
    series = {name: [(s["minute"], s[name]) for s in samples if name in s] for name in names}
    values = [value for points in series.values() for _, value in points]
    most, first, last = max(*values, 1e-9), samples[0]["minute"], samples[-1]["minute"]
    span = max(last - first, 1e-9)
    parts = [
        f'<g transform="translate({left:.0f} {top:.0f})">',
        f'<text y="-8" font-weight="bold">{escape(title)}</text>',
        f'<path d="M0 0V{HEIGHT}H{WIDTH}" fill="none" stroke="#999"/>',
        f'<text x="-4" y="8" text-anchor="end" fill="#555">{most:.4g}</text>',
        f'<text x="-4" y="{HEIGHT}" text-anchor="end" fill="#555">0</text>',
        f'<text x="{WIDTH}" y="-8" text-anchor="end" fill="#555">{last:.0f} min</text>',
    ]
    for number, (name, points) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        line = " ".join(
            f"{(minute - first) / span * WIDTH:.1f},{HEIGHT - value / most * HEIGHT:.1f}"
            for minute, value in points
        )
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        owner = name.rpartition(".")[0] or name.rpartition("_")[2]
        if len(series) > 1:
            at = number * (WIDTH / len(series))
            y = HEIGHT + 14 + (number % 2) * 12
            parts.append(f'<text x="{at:.0f}" y="{y}" fill="{colour}">{escape(owner)}</text>')
    return "".join(parts) + "</g>"
