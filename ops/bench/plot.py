"""A line plot as SVG: logarithmic axes, one or more named lines, every point labelled with its value.

Pure; a few dozen lines instead of a library, as the documents need no more. `tests/unit/ops/bench/test_plot.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT = 640, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 20, 40, 48
_FONT = 'font-family="sans-serif" font-size="11"'
_COLOURS = ("#2a6f97", "#c8553d", "#588157", "#6d597a")

Line = Sequence[tuple[float, float]]
"""Points (x, y), both above zero."""


def svg(lines: Mapping[str, Line], *, title: str, x: str) -> str:
    """Return the plot. Raises ValueError where a line has no point, or one that is not above zero."""
    points = [point for line in lines.values() for point in line]
    if not points or min(min(point) for point in points) <= 0:
        raise ValueError("a logarithmic plot needs points above zero")
    xs, ys = _decades([p[0] for p in points]), _decades([p[1] for p in points])

    def across(value: float) -> float:
        return _LEFT + (math.log10(value) - xs[0]) / (xs[-1] - xs[0]) * (WIDTH - _LEFT - _RIGHT)

    def up(value: float) -> float:
        return HEIGHT - _BOTTOM - (math.log10(value) - ys[0]) / (ys[-1] - ys[0]) * (HEIGHT - _TOP - _BOTTOM)

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" {_FONT}>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{_LEFT}" y="18" font-size="14">{escape(title)}</text>',
        f'<text x="{WIDTH - _RIGHT}" y="{HEIGHT - 8}" text-anchor="end">{escape(x)}</text>',
    ]
    for power in xs:
        at = across(10.0**power)
        out.append(f'<path d="M{at:.1f} {_TOP}V{HEIGHT - _BOTTOM}" stroke="#ddd"/>')
        out.append(f'<text x="{at:.1f}" y="{HEIGHT - _BOTTOM + 16}" text-anchor="middle">{short(10.0**power)}</text>')
    for power in ys:
        at = up(10.0**power)
        out.append(f'<path d="M{_LEFT} {at:.1f}H{WIDTH - _RIGHT}" stroke="#ddd"/>')
        out.append(f'<text x="{_LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{short(10.0**power)}</text>')
    for number, (name, line) in enumerate(lines.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        path = " ".join(f"{across(px):.1f},{up(py):.1f}" for px, py in line)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for px, py in line:
            cx, cy = across(px), up(py)
            out.append(f'<circle cx="{cx:.1f}" cy="{cy:.1f}" r="3" fill="{colour}"/>')
            out.append(f'<text x="{cx:.1f}" y="{cy - 6:.1f}" text-anchor="middle" fill="{colour}">{short(py)}</text>')
        key = WIDTH - _RIGHT - 150 * (len(lines) - number - 1)
        out.append(f'<text x="{key}" y="{_TOP - 8}" text-anchor="end" fill="{colour}">{escape(name)}</text>')
    return "\n".join([*out, "</svg>", ""])


def short(value: float) -> str:
    """Return a number with at most three digits: 100 000 000 as 100 M."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def _decades(values: Sequence[float]) -> list[int]:
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return list(range(low, max(high, low + 1) + 1))
