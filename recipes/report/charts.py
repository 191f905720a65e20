"""Charts as inline SVG whose text and axes take the colour of the page around them."""

import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import matplotlib
from markupsafe import Markup

matplotlib.use("svg")
from matplotlib import pyplot, ticker

_INK = "#010203"
"""Drawn in this colour, then replaced by `currentColor`; no line of a chart uses it."""
_CELL = "#2f80e0"
_HEIGHT = 3.6
_IN_PICTURE, _BELOW_COLUMNS = 4, 2
"""A legend of so many lines fits among them; a longer one stands below, in columns."""
_STYLE = {
    "svg.fonttype": "none",
    "font.size": 12,
    "text.color": _INK,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "grid.color": _INK,
    "grid.alpha": 0.15,
    "axes.grid": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
}
_NO_METADATA = {"Creator": None, "Date": None, "Format": None, "Type": None}


@dataclass(frozen=True)
class Line:
    """One series; `color` must be legible on white and on near-black."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    color: str
    dash: str = "-"
    marker: str = ""
    faint: Sequence[float] = ()
    """Drawn behind the line at the same x: what the line smooths."""
    band: tuple[Sequence[float], Sequence[float]] | None = None
    """Lower and upper end of an interval at each x, drawn as an area behind the line."""


@dataclass(frozen=True)
class Range:
    """A mean with its interval, drawn as a dot on a bar."""

    name: str
    mean: float
    low: float
    high: float
    color: str


@dataclass(frozen=True)
class Bar:
    """A value as a bar from zero, with the lowest and highest of the runs that it stands for."""

    name: str
    value: float
    low: float
    high: float
    color: str


def line_chart(
    name: str,
    lines: Iterable[Line],
    *,
    x_label: str,
    y_label: str,
    y_top: float | None = None,
    x_ticks: Sequence[float] = (),
) -> Markup:
    """Draw lines into one SVG.

    Args:
        name: Unique on the page; keeps the ids of two charts apart, and is read out in place of the picture.
        lines: The series, drawn in order.
        x_label: Label of the x axis.
        y_label: Label of the y axis.
        y_top: Highest y; fitted to the data when None. The lowest is 0.
        x_ticks: If given, the x axis is spaced by powers of two and shows these values.
    """
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": name}):
        figure, axes = pyplot.subplots(figsize=(6.2, _HEIGHT), layout="constrained")
        for line in lines:
            _draw(axes, line)
        axes.set(xlabel=x_label, ylabel=y_label)
        axes.set_ylim(0, y_top)
        if x_ticks:
            axes.set_xscale("log", base=2)
            axes.set_xticks(x_ticks, [f"{tick:g}" for tick in x_ticks])
            axes.minorticks_off()
        else:
            axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
        if len(axes.lines) > _IN_PICTURE:
            figure.set_figheight(_HEIGHT + 0.25 * len(axes.lines) / _BELOW_COLUMNS)
            figure.legend(loc="outside lower center", ncols=_BELOW_COLUMNS)
        else:
            axes.legend(loc="best")
        return _as_markup(figure, name)


def range_chart(name: str, ranges: Sequence[Range], *, x_label: str, mark: float | None = None) -> Markup:
    """Draw intervals below each other, the first on top; `mark` draws a vertical line for comparison."""
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": name}):
        figure, axes = pyplot.subplots(figsize=(6.2, 0.9 + 0.27 * len(ranges)), layout="constrained")
        for place, one in enumerate(ranges):
            axes.plot([one.low, one.high], [place, place], color=one.color, linewidth=2.2, alpha=0.55)
            axes.plot(one.mean, place, "o", color=one.color, markersize=6)
        if mark is not None:
            axes.axvline(mark, color=_INK, linewidth=0.9, linestyle=":")
        axes.set(xlabel=x_label, yticks=range(len(ranges)), yticklabels=[one.name for one in ranges])
        axes.invert_yaxis()
        return _as_markup(figure, name)


def bar_chart(name: str, bars: Sequence[Bar], *, x_label: str) -> Markup:
    """Draw bars below each other, the first on top; their values stand at the names."""
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": name}):
        figure, axes = pyplot.subplots(figsize=(6.2, 0.9 + 0.55 * len(bars)), layout="constrained")
        for place, one in enumerate(bars):
            axes.barh(place, one.value, height=0.6, color=one.color)
            axes.plot([one.low, one.high], [place, place], color=_INK, linewidth=1.2)
        labels = [f"{one.name}  {one.value:.2f}" for one in bars]
        axes.set(xlabel=x_label, yticks=range(len(bars)), yticklabels=labels)
        axes.grid(visible=False, axis="y")
        axes.set_axisbelow(True)
        axes.invert_yaxis()
        return _as_markup(figure, name)


def heat_map(
    name: str,
    values: Sequence[Sequence[float]],
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    x_label: str,
    y_label: str,
) -> Markup:
    """Draw a grid of values, each written into its cell; darker is higher."""
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": name, "axes.grid": False}):
        figure, axes = pyplot.subplots(figsize=(6.2, 1.2 + 0.55 * len(rows)), layout="constrained")
        flat = [value for row in values for value in row]
        lowest, span = min(flat), max(max(flat) - min(flat), 1e-9)
        for y, row in enumerate(values):
            for x, value in enumerate(row):
                shade = 0.08 + 0.5 * (value - lowest) / span
                axes.add_patch(pyplot.Rectangle((x - 0.5, y - 0.5), 1, 1, color=_CELL, alpha=shade, linewidth=0))
                axes.text(x, y, f"{value:.3f}", ha="center", va="center")
        axes.set(xlim=(-0.5, len(columns) - 0.5), ylim=(len(rows) - 0.5, -0.5), xlabel=x_label, ylabel=y_label)
        axes.set_xticks(range(len(columns)), columns)
        axes.set_yticks(range(len(rows)), rows)
        return _as_markup(figure, name)


def _draw(axes, line: Line) -> None:
    if line.band:
        axes.fill_between(line.x, *line.band, color=line.color, alpha=0.15, linewidth=0)
    if line.faint:
        axes.plot(line.x, line.faint, color=line.color, linewidth=0.9, alpha=0.35)
    axes.plot(
        line.x, line.y, line.dash, color=line.color, marker=line.marker, markersize=5, linewidth=2.2, label=line.name
    )


def _as_markup(figure, name: str) -> Markup:
    """The figure as an SVG element that scales with the page."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata=_NO_METADATA)
    pyplot.close(figure)
    text = buffer.getvalue()
    svg = text[text.index("<svg") :].replace(_INK, "currentColor")
    label = Markup("{}").format(name)
    svg = re.sub(r'^<svg ([^>]*?)width="[^"]*"', rf'<svg role="img" aria-label="{label}" \1', svg, count=1)
    return Markup(re.sub(r'^(<svg [^>]*?)height="[^"]*"', r"\1", svg, count=1))  # noqa: S704  (made here, not read)
