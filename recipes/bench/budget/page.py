"""A page with the curves of accuracy over budget, from a result file alone; needs matplotlib, no LlamaIndex."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from report.charts import Line, Range, line_chart, range_chart
from report.page import Cell, Chart, Figures, Section, Table, write_page

COLORS = {
    "VOI": "#2f80e0",
    "spend-all": "#d07a1c",
    "guarded FunctionAgent": "#2a9d6f",
    "one-shot RAG, k x B": "#b5487d",
    "BAVT-like": "#8a7fd0",
    "guarded ReActAgent": "#8a8f98",
}
DASHES = dict(zip(COLORS, ("-", "--", "-.", ":", "--", ":"), strict=True))


def write(result: Mapping[str, Any], file: Path) -> None:
    """One chart per set, the headline as intervals, and the bar."""
    curves = tuple(_curves(result, name) for name in result["choice"]["sets"])
    sections = [
        Section("Accuracy over budget", f"{result['what']}.", (Figures(curves),)),
        Section("Headline", "Mean of the sets over the paper's budgets, 95 % intervals.", _headline(result)),
    ]
    write_page(file, "Multi-hop search under a hard budget", sections)


def _curves(result: Mapping[str, Any], name: str) -> Chart:
    budgets = [budget for budget in result["choice"]["budgets"] if budget != "2/200"]  # as many calls as 2/300
    calls = [int(budget.split("/")[0]) for budget in budgets]
    lines = [
        Line(method, calls, [result["cells"][f"{name} | {budget} | {method}"]["f1"] for budget in budgets], color)
        for method, color in COLORS.items()
        if method in result["choice"]["methods"]
    ]
    lines = [Line(line.name, line.x, line.y, line.color, dash=DASHES[line.name], marker="o") for line in lines]
    svg = line_chart(name, lines, x_label="searches allowed", y_label="F1-equivalent accuracy", x_ticks=calls)
    return Chart(svg, name, f"{result['questions'][name]} questions, {len(result['choice']['seeds'])} seeds.")


def _headline(result: Mapping[str, Any]) -> tuple[Figures, Table]:
    ordered = sorted(result["headline"].items(), key=lambda item: -item[1][0]["mean"])
    ranges = [
        Range(name, own["mean"], own["low"], own["high"], COLORS.get(name, "#8a8f98")) for name, (own, _) in ordered
    ]
    chart = Chart(range_chart("headline", ranges, x_label="F1-equivalent accuracy"), "By method", "The oracle cheats.")
    rows = tuple((Cell(name), Cell(_text(own)), Cell(_text(gap, "+"))) for name, (own, gap) in ordered)
    return Figures((chart,)), Table(("method", "F1-equivalent", "VOI less it"), rows, f"hash {result['hash']}")


def _text(one: Mapping[str, float], sign: str = "") -> str:
    return f"{one['mean']:{sign}.3f} [{one['low']:{sign}.3f}, {one['high']:{sign}.3f}]"
