"""One chart of each kind, to the file that is named."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[3] / "recipes"))

from report.charts import Bar, Line, Range, bar_chart, heat_map, line_chart, range_chart
from report.page import Cell, Chart, Code, Figures, Section, Table, Text, write_page

BLUE, ORANGE = "#2f80e0", "#d07a1c"
LINES = (
    Line("one", [1, 2, 4], [0.1, 0.5, 0.9], BLUE, marker="o", band=([0.0, 0.4, 0.8], [0.2, 0.6, 1.0])),
    Line("other", [1, 2, 4], [0.2, 0.4, 0.5], ORANGE, dash="--", faint=[0.3, 0.2, 0.6]),
)
GRID = {"rows": ["a", "b"], "columns": ["c", "d", "e"], "x_label": "x", "y_label": "y"}
SVGS = {
    "lines": line_chart("lines", LINES, x_label="x", y_label="y"),
    "ticks": line_chart("ticks", LINES, x_label="x", y_label="y", y_top=1.0, x_ticks=[1, 2, 4]),
    "ranges": range_chart("ranges", [Range("one", 0.5, 0.4, 0.7, BLUE)], x_label="x", mark=0.45),
    "bars": bar_chart("bars", [Bar("one", 1.0, 0.9, 1.2, BLUE), Bar("other", 2.0, 1.9, 2.2, ORANGE)], x_label="s"),
    "grid": heat_map("grid", [[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]], **GRID),
}
WIDE = tuple(f"column {number}" for number in range(12))

write_page(
    Path(sys.argv[1]),
    "All kinds of charts",
    [
        Section("Charts", "One each.", (Figures(tuple(Chart(svg, name, "As drawn.") for name, svg in SVGS.items())),)),
        Section(
            "Other blocks",
            "With lines that are too long.",
            (
                Text("word " * 60),
                Table(WIDE, (tuple(map(Cell, WIDE)), (Cell(marks=(("right", True), ("wrong", False))),) * 12), "Wide."),
                Code("Folded", "unbroken" * 60),
            ),
        ),
    ],
)
