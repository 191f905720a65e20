"""Both routes until they meet, as one static page: no script, no network, readable in light and dark and in grey."""

import math
from collections.abc import Sequence
from html import escape

from gainful.sparkv.scenarios import Cell, Outcome, Setting

__all__ = ["timeline_html"]

_WIDTH, _HEIGHT = 700.0, 200.0  # of the plot, in the picture's own units
_LEFT, _TOP, _BELOW = 52.0, 12.0, 26.0
_TICKS = 5

_STYLE = """
.gainful-race{--ink:#1b1f24;--dim:#57606a;--paper:#fff;--line:#d0d7de;--compute:#0b6bcb;--stream:#9a6700;
color:var(--ink);background:var(--paper);font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:auto;padding:1.5rem}
@media (prefers-color-scheme:dark){.gainful-race{--ink:#e6edf3;--dim:#9da7b1;--paper:#0d1117;--line:#3d444d;
--compute:#4c9aff;--stream:#d4a72c}}
.gainful-race h2{font-size:1.25rem;margin:0}.gainful-race h3{font-size:1rem;margin:1.5rem 0 .25rem}
.gainful-race p{margin:.25rem 0}.gainful-race .dim{color:var(--dim)}
.gainful-race svg{width:100%;height:auto;display:block;overflow:visible}
.gainful-race text{fill:var(--dim);font:12px system-ui,sans-serif}
.gainful-race .tick{text-anchor:middle;dominant-baseline:hanging}
.gainful-race .compute{fill:var(--compute);fill-opacity:.25;stroke:var(--compute);stroke-width:1.5}
.gainful-race .stream{fill:var(--stream);fill-opacity:.18;stroke:var(--stream);stroke-width:1.5;stroke-dasharray:5 3}
.gainful-race .axis{stroke:var(--line)}.gainful-race .met{stroke:var(--ink);stroke-width:1.5}
.gainful-race .dot{fill:var(--ink)}.gainful-race text.name{fill:var(--ink)}
@media (max-width:40rem){.gainful-race text{font-size:22px}}
"""


def timeline_html(cells: Sequence[Cell]) -> str:
    """A whole page with one picture per outcome; the setting is that of the first."""
    sections = "".join(_section(*cell) for cell in cells)
    setting = cells[0][0]
    facts = (
        f"{setting.num_tokens:,} tokens in chunks of {setting.chunk_tokens:,}, {setting.mbit_per_second:g} Mbit/s, "
        f"round trip {setting.round_trip_ms:g} ms, simulated 8B model"
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><title>Two pointers</title>'
        f"<style>body{{margin:0}}@media (prefers-color-scheme:dark){{body{{background:#0d1117}}}}{_STYLE}</style>"
        f'</head><body><main class="gainful-race"><h2>Compute from the front, stream from the back</h2>'
        f'<p class="dim">{escape(facts)}. Solid: computed by the engine. Dashed: streamed from the store. '
        f"The line marks where they meet.</p>{sections}</main></body></html>\n"
    )


def _section(setting: Setting, outcome: Outcome) -> str:
    strategies = (
        ("two pointers", outcome.two_pointers_s),
        ("hindsight best", outcome.hindsight_s),
        ("static split", outcome.static_s),
        ("compute only", outcome.compute_only_s),
        ("stream only", outcome.stream_only_s),
    )
    numbers = " · ".join(f"{name} {seconds_text(seconds)}" for name, seconds in strategies)
    return f"<h3>{escape(outcome.name)}</h3><p>{escape(numbers)}</p>{_picture(setting, outcome)}"


def seconds_text(seconds: float) -> str:
    """`1.23 s`, or `never`."""
    return "never" if math.isinf(seconds) else f"{seconds:.2f} s"


def _picture(setting: Setting, outcome: Outcome) -> str:
    whole = outcome.two_pointers_s
    if math.isinf(whole) or whole <= 0.0:
        return '<p class="dim">Both routes stand still: nothing to draw.</p>'
    num_chunks = setting.layout.num_chunks
    compute = _steps(outcome.race.computed, whole, num_chunks, base=0)
    stream = _steps(outcome.race.staged, whole, num_chunks, base=num_chunks)
    met_y = _y(outcome.race.met_chunk, num_chunks)
    label = f"{outcome.name}: the routes meet after {seconds_text(whole)}"
    return (
        f'<svg viewBox="0 0 {_LEFT + _WIDTH + 28:.0f} {_TOP + _HEIGHT + _BELOW:.0f}" role="img" '
        f'aria-label="{escape(label, quote=True)}"><title>{escape(label)}</title>{_axes(setting, whole)}'
        f'<polygon class="stream" points="{stream}"/><polygon class="compute" points="{compute}"/>'
        f'<line class="met" x1="{_LEFT + _WIDTH:.1f}" x2="{_LEFT + _WIDTH:.1f}" y1="{_TOP}" y2="{_TOP + _HEIGHT}"/>'
        f'<circle class="dot" cx="{_LEFT + _WIDTH:.1f}" cy="{met_y:.1f}" r="4"/>'
        f'<text class="name" x="{_LEFT + _WIDTH - 10}" y="{_TOP + 18}" text-anchor="end">streamed</text>'
        f'<text class="name" x="{_LEFT + _WIDTH - 10}" y="{_TOP + _HEIGHT - 8}" text-anchor="end">computed</text></svg>'
    )


def _steps(points: Sequence[tuple[float, int]], whole: float, num_chunks: int, base: int) -> str:
    """A staircase from the first point to the end of the race, closed along its base."""
    corners: list[tuple[float, float]] = [(_x(0.0, whole), _y(base, num_chunks))]
    for (time, chunk), before in zip(points, [base, *(chunk for _, chunk in points)], strict=False):
        corners += [(_x(time, whole), _y(before, num_chunks)), (_x(time, whole), _y(chunk, num_chunks))]
    corners += [(_x(whole, whole), corners[-1][1]), (_x(whole, whole), _y(base, num_chunks))]
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)


def _axes(setting: Setting, whole: float) -> str:
    right, bottom = _LEFT + _WIDTH, _TOP + _HEIGHT
    lines = [f'<line class="axis" x1="{_LEFT}" x2="{right}" y1="{y}" y2="{y}"/>' for y in (_TOP, bottom)]
    ticks = [whole * tick / _TICKS for tick in range(_TICKS + 1)]
    lines += [f'<text x="{_x(tick, whole):.1f}" y="{bottom + 7}" class="tick">{tick:.1f} s</text>' for tick in ticks]
    counts = ((setting.layout.end_token, _TOP + 4), (0, bottom - 4))
    lines += [f'<text x="{_LEFT - 6}" y="{y}" text-anchor="end">{count:,}</text>' for count, y in counts]
    return "".join(lines)


def _x(time: float, whole: float) -> float:
    return _LEFT + _WIDTH * min(time, whole) / whole


def _y(chunk: int, num_chunks: int) -> float:
    return _TOP + _HEIGHT * (1 - chunk / num_chunks)
