"""Tables for people: on the terminal and in RESULTS.md as Markdown, and as a page with pictures."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from bars import Outcome, Verdict
from methods import METHODS, OURS
from report.charts import Line, line_chart
from report.page import Cell, Chart, Figures, Section, Table, Text, write_page

from gainful.sparkv.costs import ComputeModel

Record = Mapping[str, Any]
Rows = list[tuple[str, ...]]
BOUND_COLOR = "#1f8a4c"


def method_rows(found: Sequence[Outcome]) -> Rows:
    """A row per method, a column per condition: median and p99 of the seconds to the first token."""
    names = [name for name in METHODS if any(name in one.cells for one in found)]
    rows = [("method", *(one.condition.name for one in found))]
    rows += [(name, *(_seconds(one, name) for one in found)) for name in names]
    rows += [("bound in hindsight", *(f"{one.bound_s:.2f}" if one.bound_s else "-" for one in found))]
    rows += [("SparKV over the bound", *(_over(one) for one in found))]
    rows += [("better single path / SparKV", *(_gain(one) for one in found))]
    return rows


def _seconds(one: Outcome, name: str) -> str:
    cell = one.cells.get(name)
    return f"{cell.median_s:.2f} ({cell.p99_s:.2f})" if cell else "-"


def _over(one: Outcome) -> str:
    over = one.cells[OURS].over_bound if OURS in one.cells else None
    return f"{over:.2f}" if over else "-"


def _gain(one: Outcome) -> str:
    return f"{one.single_s / one.ours_s:.2f}x" if one.single_s and one.ours_s else "-"


def condition_rows(found: Sequence[Outcome]) -> Rows:
    """What each condition really was."""
    header = ("condition", "Mbit/s set", "measured", "KV MB", "runs a method", "same tokens", "SparKV streamed", "load")
    return [header, *(_condition_row(one) for one in found)]


def _condition_row(one: Outcome) -> tuple[str, ...]:
    exact = [cell for name, cell in one.cells.items() if METHODS[name].exact]
    ours = one.cells.get(OURS)
    return (
        one.condition.name,
        f"{one.facts['mbit_set']:.0f}",
        f"{one.facts['mbit_measured']:.0f}",
        f"{one.facts['stored_bytes'] / 1e6:.1f}",
        str(min(cell.runs for cell in one.cells.values())),
        f"{sum(cell.same for cell in exact)} of {sum(cell.runs for cell in exact)}",
        f"{ours.streamed_tokens:.0f} tokens" if ours else "-",
        "{:.1f}-{:.1f}".format(*one.loads),
    )


def verdict_rows(verdicts: Iterable[Verdict]) -> Rows:
    return [("bar", "verdict", "found"), *((one.bar, one.word, one.found) for one in verdicts)]


def quality_rows(quality: Record) -> Rows:
    """A row per codec."""
    header = (
        "codec", "times smaller", "max error", "rel. error K", "rel. error V", "KL mean", "KL max", "same top token",
        "same generated tokens", "same prompts", "recall",
    )  # fmt: skip
    return [header, *(_quality_row(row, quality["prompts"]) for row in quality["rows"])]


def _quality_row(row: Record, prompts: int) -> tuple[str, ...]:
    errors = (f"{row[name]:.2g}" for name in ("max_error", "key_error", "value_error", "kl_mean", "kl_max"))
    shares = (f"{row[name]:.2%}" for name in ("same_top", "same_tokens"))
    whole = f"{row['same_prompts']} of {prompts}"
    return (row["codec"], f"{row['bytes_ratio']:.2f}", *errors, *shares, whole, f"{row['recall']:.2%}")


def markdown(rows: Rows) -> str:
    """The first row is the header; numbers stand at the right."""
    lines = [" | ".join(row) for row in rows]
    lines.insert(1, " | ".join(["---", *["---:"] * (len(rows[0]) - 1)]))
    return "\n".join(f"| {line} |" for line in lines)


def peer_rows(peers: Record) -> Rows:
    """What became of connectors that were tried."""
    return [("connector", "on this machine"), *peers["tried"].items()]


def timed_peer_rows(timed: Record) -> Rows:
    """A row per condition and method, the other connector among them."""
    header = ("condition", "Mbit/s set", "method", "seconds to first token", "MB over the link", "same tokens", "load")
    methods = dict.fromkeys(run["method"] for run in timed["runs"])
    rows: Rows = [header]
    for facts in timed["facts"]:
        for method in methods:
            own = [run for run in timed["runs"] if (run["condition"], run["method"]) == (facts["name"], method)]
            rows.append((facts["name"], f"{facts['mbit_set']:.0f}", method, *_timed_cells(own)))
    return rows


def _timed_cells(runs: Sequence[Record]) -> tuple[str, ...]:
    seconds, loads = [run["seconds"] for run in runs], [run["load_average"] for run in runs]
    return (
        f"{statistics.median(seconds):.2f} ({np.quantile(seconds, 0.99):.2f})",
        f"{statistics.median(run['received_bytes'] for run in runs) / 1e6:.1f}",
        f"{sum(run['same_tokens'] for run in runs)} of {len(runs)}",
        f"{min(loads):.1f}-{max(loads):.1f}",
    )


def timed_peer_title(timed: Record) -> str:
    """Says what the other connector is for, too: one request on a slow link is not that."""
    setup = timed["setup"]
    return (
        f"Median (p99) of {setup['repeats']} runs each, {setup['model']} model, {setup['dtype']}, all in turn. LMCache "
        f"{timed['lmcache']}: its server beside the engine, the prompts in the same Redis behind the same link (RESP), "
        "no copy on this side of it. It is made for sharing prefixes among engines and requests, in tiers, over fast "
        "links; it loads all that it finds and computes nothing meanwhile."
    )


def as_text(
    groups: Mapping[str, Sequence[Outcome]], verdicts: Sequence[Verdict], quality: Record | None, peers: Record | None
) -> str:
    """All tables as Markdown."""
    parts = [markdown(verdict_rows(verdicts))]
    for title, found in groups.items():
        parts += [f"Seconds to first token, median (p99): {title}", markdown(method_rows(found))]
        parts += [markdown(condition_rows(found))]
    if quality:
        parts += [quality_title(quality), markdown(quality_rows(quality))]
    if peers:
        timed = peers["timed"]
        parts += ["Other connectors"]
        parts += [timed_peer_title(timed), markdown(timed_peer_rows(timed))] if timed else []
        parts += [markdown(peer_rows(peers))]
    return "\n\n".join(parts)


def quality_title(quality: Record) -> str:
    return (
        f"Codecs on the KV of a trained model of {quality['parameters']:,} parameters, {quality['prompts']} prompts of "
        f"{quality['prompt_tokens']} tokens, {quality['generated_tokens']} tokens generated"
    )


def write(
    file: Path,
    groups: Mapping[str, Sequence[Outcome]],
    runs: Mapping[str, Sequence[Record]],
    verdicts: Sequence[Verdict],
    quality: Record | None,
    peers: Record | None,
) -> None:
    """The page."""
    sections = [Section("Bars", "Judged on medians; misses stand here too.", (_table(verdict_rows(verdicts), ""),))]
    sections += [_measured(title, found, runs[title]) for title, found in groups.items()]
    if quality:
        lead = "The cache of a model that was really trained, through each codec, against the cache as it was."
        rows = quality_rows(quality)
        sections += [Section("Codecs", lead, (_table(rows, quality_title(quality)),))]
    if peers:
        lead = "vLLM's own for a store beside the engine, and LMCache: each was started here, or it says why not."
        timed = peers["timed"]
        tables = [_table(timed_peer_rows(timed), timed_peer_title(timed))] if timed else []
        sections += [Section("Other connectors", lead, (*tables, _table(peer_rows(peers), "")))]
    sections += [Section("Methods", "What the names mean.", (_table(_methods(), ""),))]
    write_page(file, "SparKV in vLLM: time to first token", sections)


def _measured(title: str, found: Sequence[Outcome], runs: Sequence[Record]) -> Section:
    charts = [chart for chart in (_sweep(title, found), *_timelines(title, found, runs)) if chart]
    blocks = (
        *((Figures(tuple(charts)),) if charts else ()),
        _table(method_rows(found), "Seconds to the first token: median (p99)."),
        _table(condition_rows(found), "Load: the machine's load average when a run began, lowest and highest."),
        Text("The bound: both routes at their measured rates, split where it was best, known beforehand."),
    )
    return Section(title, "One machine, the same bytes, all methods in turn in every repeat.", blocks)


def _table(rows: Rows, caption: str) -> Table:
    header, *body = rows
    return Table(header, tuple(tuple(Cell(text) for text in row) for row in body), caption)


def _methods() -> Rows:
    return [("method", "what it does"), *((method.name, method.what) for method in METHODS.values())]


def _sweep(title: str, found: Sequence[Outcome]) -> Chart | None:
    """Seconds over bandwidth; of the first length and round trip if there are several."""
    steady = [one for one in found if one.condition.is_sweep]
    first = [one for one in steady if _place(one) == _place(steady[0])]
    first.sort(key=lambda one: one.facts["mbit_measured"])
    if len(first) < 2:
        return None
    rates = [one.facts["mbit_measured"] for one in first]
    lines = [
        Line(name, rates, [one.cells[name].median_s for one in first], method.color, marker="o")
        for name, method in METHODS.items()
        if all(name in one.cells for one in first)
    ]
    lines += [Line("bound in hindsight", rates, [one.bound_s or 0.0 for one in first], BOUND_COLOR, dash=":")]
    ticks = [round(rate) for rate in rates]
    label = {"x_label": "Mbit/s, measured", "y_label": "seconds to first token", "x_ticks": ticks}
    top = 1.6 * max(one.prefill_s or 0.0 for one in first)
    svg = line_chart(f"{title} sweep", lines, y_top=top, **label)
    return Chart(svg, "Time to first token against bandwidth", "Medians. What leaves the picture is slower still.")


def _place(one: Outcome) -> tuple[int, float]:
    return one.condition.tokens, one.condition.rtt_ms


def _timelines(title: str, found: Sequence[Outcome], runs: Sequence[Record]) -> list[Chart]:
    """Of the last run of SparKV where both routes met: at break-even, and where the rate changed."""
    chosen = [one for one in found if one.condition.changes or (one.condition.is_sweep and one.condition.mbit is None)]
    charts = []
    for one in chosen:
        own = [run for run in runs if run["condition"] == one.condition.name and run["method"] == OURS]
        met = [run for run in own if run["samples"] and (run["reports"][0] or {}).get("met_at_token")]
        if met:
            charts.append(_timeline(f"{title} {one.condition.name}", one, met[-1]))
    return charts


def _timeline(name: str, one: Outcome, run: Record) -> Chart:
    report, facts = run["reports"][0], one.facts
    met, tokens = report["met_at_token"], facts["reusable_tokens"]
    per_token = facts["stored_bytes"] / tokens
    samples = [(0.0, 0), *(one for one in run["samples"] if one[0] <= run["seconds"])]
    streamed = [max(met, tokens - count / per_token) for _, count in samples]
    steps = [met * place / 16 for place in range(17)]
    shape = [ComputeModel(**facts["model"]).seconds(round(step), 0) if step else 0.0 for step in steps]
    ended_ms = 1000 * max(0.0, run["seconds"] - facts["floor_s"])
    lines = [
        Line("streamed, from the end", [1000 * when for when, _ in samples], streamed, "#d07a1c"),
        Line("computed, from the front", [ended_ms * one / shape[-1] for one in shape], steps, "#2f80e0", dash="--"),
    ]
    svg = line_chart(name, lines, x_label="milliseconds", y_label="token of the prompt")
    caption = (
        f"Met at token {met:,}; first token after {run['seconds']:.2f} s. Streamed: bytes on the link, frames in "
        "flight among them. Computed: as the fit says it grows, up to the measured end."
    )
    return Chart(svg, one.condition.name, caption)
