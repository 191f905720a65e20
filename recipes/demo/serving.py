"""The section on serving: one prompt in real vLLM, its KV cache computed, streamed, or both until they meet."""

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from environments import ROOT, python_of
from report.charts import Bar, Line, bar_chart, line_chart
from report.page import Cell, Chart, Code, Figures, Section, Table, Text
from rich.table import Table as RichTable

SCRIPT = ROOT / "recipes/demo/serve.py"
QUICK_TOKENS = 2048
COMPUTED, STREAMED, PLAIN = "#2f80e0", "#d07a1c", "#8a8f98"
NAMES = {
    "compute": ("plain prefill", PLAIN),
    "async_prefix": ("async_prefix", STREAMED),
    "layerwise": ("layerwise", "#2a9d6f"),
    "two_pointer": ("two_pointer", COMPUTED),
}
HEADERS = ("mode", "seconds", "lowest", "highest", "computed", "streamed", "same tokens")
NOT_SAID = (
    "This is a tiny model of random weights on a CPU, and a link within one machine: it shows that the routes work "
    "and meet, not what they are worth elsewhere."
)

Record = dict[str, Any]


def command(out: Path, *, bases: Path, quick: bool) -> tuple[str, ...]:
    """The program that serves the prompt in every mode and writes `result.json` to `out`; a wrong token ends it."""
    fewer = ("--tokens", str(QUICK_TOKENS), "--repeats", "1") if quick else ()
    return (str(python_of("vllm")), str(SCRIPT), "--out", str(out), "--bases", str(bases), *fewer)


def load(out: Path) -> Record:
    """What the program wrote."""
    result: Record = json.loads((out / "result.json").read_text())
    return result


def rows(result: Record) -> list[tuple[str, ...]]:
    """One row per mode, in the order of `NAMES`."""
    expected = result["runs"][0]["tokens"]
    return [_row(name, _runs(result, mode), expected) for mode, (name, _) in NAMES.items()]


def _row(name: str, runs: Sequence[Record], expected: list[int]) -> tuple[str, ...]:
    seconds = [run["seconds"] for run in runs]
    routes = (f"{median(run['report'][f'{route}_tokens'] for run in runs):,.0f}" for route in ("computed", "streamed"))
    times = (f"{value:.2f}" for value in (median(seconds), min(seconds), max(seconds)))
    same = sum(run["tokens"] == expected for run in runs)
    return (name, *times, *routes, f"{same} of {len(runs)}")


def _runs(result: Record, mode: str) -> list[Record]:
    return [run for run in result["runs"] if run["mode"] == mode]


def table(result: Record) -> RichTable:
    """The table for the terminal."""
    shown = RichTable(*HEADERS, title=f"One prompt of {result['prompt_tokens']:,} tokens, store at {_rate(result)}")
    for row in rows(result):
        shown.add_row(*row)
    shown.caption = NOT_SAID
    return shown


def _rate(result: Record) -> str:
    return f"{result['mbit']:.1f} Mbit/s"


def section(result: Record) -> Section:
    """The section of the page."""
    return Section(
        title="Serving: a KV cache computed and streamed at once",
        lead=(
            f"Real vLLM served one prompt of {result['prompt_tokens']:,} tokens, and saved its KV cache "
            f"({result['stored_bytes'] / 1e6:.1f} MB) in a redis-server. Then it served the prompt again, with nothing "
            "in its own cache, in each mode of SparKVConnector."
        ),
        blocks=(
            Text(NOT_SAID),
            Text(
                f"Between store and engine stands a proxy that passes {_rate(result)}. By the first prefill of this "
                "run, that is the rate at which streaming everything takes as long as computing everything: there, "
                "doing both gains most. In every run all tokens were those of plain prefill; a wrong one would have "
                "ended the demo."
            ),
            Figures((_timeline(result), _bars(result))),
            Table(
                HEADERS,
                tuple(tuple(map(Cell, row)) for row in rows(result)),
                "Seconds to the first token, median of all runs; tokens of the prompt by route; runs with the tokens "
                "of plain prefill, whose first run saved. async_prefix loads, then computes the rest; layerwise waits "
                "for each layer in turn; two_pointer does both routes at once. The cost model, which chooses between "
                "routes, is off: each mode is shown as it is by itself.",
            ),
            Code(
                "Settings and versions",
                "\n".join(f"{name} {number}" for name, number in result["versions"].items())
                + f"\nmodel {result['model']}, float32\n\n# done by\nmake env-vllm store-servers\n"
                + ".venvs/vllm/bin/python recipes/demo/serve.py",
            ),
        ),
    )


def _timeline(result: Record) -> Chart:
    """Of the two_pointer run with the median time; beside it the plain prefill with the median time."""
    race, plain = (_middle(_runs(result, mode)) for mode in ("two_pointer", "compute"))
    met = race["report"]["met_at_token"]
    lines = [_line("plain prefill", [(at, done) for at, done, _ in plain["points"]], PLAIN, ":")]
    lines += [_line("computed, from the front", [(at, done) for at, done, _ in race["points"]], COMPUTED, "-")]
    if met is not None:
        end = met + race["report"]["streamed_tokens"]
        staged = [(at, max(met, first)) for at, _, first in race["points"] if first is not None]
        lines += [_line("streamed, from the end", [(0.0, end), *staged], STREAMED, "--")]
    svg = line_chart("Both routes", lines, x_label="milliseconds", y_label="token of the prompt")
    return Chart(svg, "Both routes until they meet", _met(race))


def _met(race: Record) -> str:
    """What became of it, also where streaming was too late to be of use."""
    report = race["report"]
    if report["met_at_token"] is None:
        return f"They did not meet ({report['reason']}): the engine computed it all in {race['seconds']:.2f} s."
    return (
        f"As seen after each step of the engine. They met at token {report['met_at_token']:,}; the first token came "
        f"after {race['seconds']:.2f} s. The back of a prompt costs most to compute, and is what is streamed."
    )


def _middle(runs: Sequence[Record]) -> Record:
    return sorted(runs, key=lambda run: run["seconds"])[len(runs) // 2]


def _line(name: str, points: Sequence[tuple[float, int]], color: str, dash: str) -> Line:
    return Line(name, [1000 * at for at, _ in points], [token for _, token in points], color, dash=dash)


def _bars(result: Record) -> Chart:
    bars = []
    for mode, (name, color) in NAMES.items():
        seconds = [run["seconds"] for run in _runs(result, mode)]
        bars.append(Bar(name, median(seconds), min(seconds), max(seconds), color))
    svg = bar_chart("Time to first token", bars, x_label="seconds to first token")
    return Chart(svg, "Time to first token", "Medians; the thin line goes from the lowest to the highest run.")
