"""Line charts as inline SVG whose text and axes take the colour of the page around them."""

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
_STYLE = {
    "svg.fonttype": "none",
    "font.size": 11,
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
        figure, axes = pyplot.subplots(figsize=(6.2, 3.6), layout="constrained")
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
        axes.legend(loc="best")
        return _as_markup(figure, name)


def _draw(axes, line: Line) -> None:
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
