"""Beliefs and gains of trajectories as one static page: no script, no network, readable without colour."""

from collections import Counter
from collections.abc import Sequence
from html import escape

from gainful.infogain.belief import Belief
from gainful.infogain.records import MissingMark
from gainful.infogain.score import Samples, Scored
from gainful.infogain.types import Missing

__all__ = ["scored_fragment", "scored_html"]

_COLOURS = 8
_SHOWN_CLASSES = 8
_SHOWN_DOCUMENTS = 5
_STYLE = """
.gainful-gains{--ink:#1b1f24;--dim:#57606a;--paper:#fff;--line:#d0d7de;--up:#0b6bcb;--down:#b35900;--c0:#3572b0;
--c1:#d98200;--c2:#2a8f6d;--c3:#b5548f;--c4:#7a6ac4;--c5:#9a8b2f;--c6:#4fa3c7;--c7:#a5614a;--c8:#8b949e;
color:var(--ink);background:var(--paper);font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:auto;
padding:1.5rem}
@media (prefers-color-scheme:dark){.gainful-gains{--ink:#e6edf3;--dim:#9da7b1;--paper:#0d1117;--line:#3d444d;
--up:#4c9aff;--down:#e3944a;--c0:#5b97d6;--c1:#e8a33d;--c2:#45b08c;--c3:#d178ad;--c4:#9c8fe0;--c5:#bcae52}}
.gainful-gains h2{font-size:1.2rem;margin:0 0 .25rem;overflow-wrap:anywhere}
.gainful-gains p{margin:.25rem 0;overflow-wrap:anywhere}.gainful-gains .dim{color:var(--dim)}
.gainful-gains ol{list-style:none;padding:0;margin:1rem 0}
.gainful-gains li{border-left:3px solid var(--line);padding:.1rem 0 .6rem 1rem}
.gainful-gains .track{display:flex;height:1.1rem;border:1px solid var(--line);border-radius:3px;overflow:hidden}
.gainful-gains .track div{border-right:1px solid var(--paper)}
.gainful-gains .gold{height:.45rem;margin-top:2px}.gainful-gains .gold div{background:var(--ink)}
.gainful-gains .key{display:inline-block;margin-right:1rem;overflow-wrap:anywhere}
.gainful-gains i{display:inline-block;width:.7rem;height:.7rem;border-radius:2px;margin-right:.35rem}
.gainful-gains .gain{font-weight:600}
.gainful-gains div.gain{display:grid;grid-template-columns:9rem 1fr;gap:.75rem;align-items:center}
.gainful-gains svg{width:100%;height:.9rem}.gainful-gains .up{fill:var(--up)}.gainful-gains .down{fill:var(--down)}
.gainful-gains .axis{stroke:var(--dim)}.gainful-gains summary{cursor:pointer;color:var(--dim)}
"""


def scored_html(scored: Sequence[Scored]) -> str:
    """A whole page, one section per trajectory in the given order."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><title>Information gain per turn</title>'
        f"<style>body{{margin:0}}@media (prefers-color-scheme:dark){{body{{background:#0d1117}}}}{_STYLE}</style>"
        f"</head><body>{''.join(map(_section, scored))}</body></html>\n"
    )


def scored_fragment(scored: Scored) -> str:
    """One trajectory with its own style, for notebooks."""
    return f"<style>{_STYLE}</style>{_section(scored)}"


def _section(scored: Scored) -> str:
    trajectory, row = scored.trajectory, scored.row
    gold = ", ".join(trajectory.gold) or "none"
    outcome = "unknown" if trajectory.outcome is None else f"{trajectory.outcome:g}"
    colours: dict[str, int] = {}
    steps = "".join(_step(scored, place, colours) for place in range(len(scored.readings)))
    return (
        f'<section class="gainful-gains"><h2>{_text(trajectory.question, 300)}</h2>'
        f'<p class="dim">{_text(trajectory.id)} · gold: {_text(gold)} · outcome {outcome} · kind {row.kind}</p>'
        f"<p>total gain <b>{_number(row.total)}</b> · reward <b>{_number(row.reward)}</b></p><ol>{steps}</ol></section>"
    )


def _step(scored: Scored, place: int, colours: dict[str, int]) -> str:
    """One belief; above it the search that led there, and its gain."""
    title = "<p><b>Before any search</b></p>"
    if place:
        turn = scored.trajectory.turns[place - 1]
        title = (
            f"<p><b>Search {place}</b> {_text(turn.query)}</p>{_documents(turn.documents)}{_gain(scored, place - 1)}"
        )
    return f"<li>{title}{_belief(scored, place, colours)}</li>"


def _documents(documents: Sequence[str]) -> str:
    if not documents:
        return ""
    shown = "".join(f"<p>{_text(text, 600)}</p>" for text in documents[:_SHOWN_DOCUMENTS])
    return f"<details><summary>documents: {len(documents)}</summary>{shown}</details>"


def _gain(scored: Scored, turn: int) -> str:
    """A bar from the middle: right for a gain, left for a loss, on one scale for all turns of the trajectory."""
    gains = scored.row.gains
    gain = gains[turn]
    if isinstance(gain, MissingMark):
        return f'<p class="gain">gain missing: {gain.missing}</p>'
    scale = max(abs(known) for known in gains if not isinstance(known, MissingMark)) or 1.0
    width = 100 * abs(gain) / scale
    left = 100 - (width if gain < 0 else 0)
    return (
        f'<div class="gain"><span>gain {gain:+.4f}</span><svg viewBox="0 0 200 10" preserveAspectRatio="none" '
        f'role="img" aria-label="gain {gain:+.4f}"><rect class="{"down" if gain < 0 else "up"}" x="{left:.2f}" y="1" '
        f'width="{width:.2f}" height="8"/><line class="axis" x1="100" x2="100" y1="0" y2="10"/></svg></div>'
    )


def _belief(scored: Scored, place: int, colours: dict[str, int]) -> str:
    summary, reading = scored.row.beliefs[place], scored.readings[place]
    if isinstance(summary, MissingMark) or isinstance(reading.belief, Missing):
        return f'<p class="dim">belief missing: {_text(getattr(summary, "missing", ""))}</p>'
    classes = _classes(scored.samples[place], reading.belief)
    bars = "".join(
        f'<div style="width:{100 * p:.2f}%;background:var(--c{_colour(label, colours)})"></div>' for label, p in classes
    )
    keys = "".join(_key(label, p, colours) for label, p in classes[:_SHOWN_CLASSES])
    more = f" and {len(classes) - _SHOWN_CLASSES} more" if len(classes) > _SHOWN_CLASSES else ""
    facts = f"entropy {summary.entropy:.4f} nats"
    gold = ""
    if summary.gold_mass is not None:
        facts += f" · gold mass {_number(summary.gold_mass)}"
        gold = _gold_bar(summary.gold_mass)
    return f'<div class="track">{bars}</div>{gold}<p>{keys}{more}</p><p class="dim">{facts}</p>'


def _gold_bar(mass: float | MissingMark) -> str:
    if isinstance(mass, MissingMark):
        return ""
    return f'<div class="track gold" title="gold mass"><div style="width:{100 * mass:.2f}%"></div></div>'


def _classes(samples: Samples, belief: Belief) -> list[tuple[str, float]]:
    """Most frequent answer and weight of each class, the heaviest first."""
    if isinstance(samples, Missing):
        return []
    members: list[Counter[str]] = [Counter() for _ in belief.p]
    for sample, label in zip(samples, belief.labels, strict=True):
        members[label][sample.answer] += 1
    named = [(min(answers, key=lambda a: (-answers[a], a)), p) for answers, p in zip(members, belief.p, strict=True)]
    return sorted(((label, float(p)) for label, p in named), key=lambda entry: (-entry[1], entry[0]))


def _key(label: str, p: float, colours: dict[str, int]) -> str:
    swatch = f'<i style="background:var(--c{_colour(label, colours)})"></i>'
    return f'<span class="key">{swatch}{_text(label, 80) or "(no answer)"} {100 * p:.0f}%</span>'


def _colour(label: str, colours: dict[str, int]) -> int:
    """One colour per answer over the whole trajectory; those after the eighth are grey."""
    return min(colours.setdefault(label, len(colours)), _COLOURS)


def _number(value: float | MissingMark) -> str:
    return f"missing ({value.missing})" if isinstance(value, MissingMark) else f"{value:.4f}"


def _text(value: str, max_chars: int = 200) -> str:
    """Cut, then escaped for text and attributes; control characters become spaces."""
    printable = "".join(char if char.isprintable() else " " for char in value[:max_chars])
    return escape(printable + ("…" if len(value) > max_chars else ""), quote=True)
