"""One request of a run, as `calibrate` looks at it: what was before the model, and what it made of it."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cells import Bench
from data import Passage, Question
from hops import reachable_queries
from kinds import text_of
from model import AT_LEAST, QUESTION_FIRST, TRACKER
from pool import Pool
from records import content_hash
from running import Done
from scoring import abstained, f1
from wire import WireCall

from gainful.budget.citations import split_citations
from gainful.budget.proposal import parse_critic_score, parse_proposal
from gainful.budget.text import jaccard, normalise, tokens

SAME_QUERY = 0.8
"""Overlap from which a query repeats an earlier one: the controller's limit."""
_DEPTH = 5
_NUMBER = re.compile(r"^\[\d+\] ")
_QUERY = re.compile(r"Action Input:\s*(\{.*\})")
_ANSWER = re.compile(r"Answer:\s*(.*)", re.DOTALL)
_LEFT = re.compile(re.escape(TRACKER).replace(r"\{left\}", r"(\d+)").replace(r"\{limit\}", r"(\d+)"))
_LEAST = re.compile(re.escape(AT_LEAST).replace(r"\{number\}", r"(\d+)"))
_OFFERED = "> Tool Name: search"
"""In the prompt of a ReAct step that may search."""
_ABSTAINS = re.compile(
    r"\b(do(es)? not|don't|doesn't|cannot|can't|unable to) (know|say|state|mention|answer|provide|determine)"
    r"|\b(unknown|no answer|not (known|mentioned|stated|given|provided|specified|enough))\b",
    re.IGNORECASE,
)
"""How models say that they do not know (ours)."""


@dataclass(frozen=True)
class Step:
    """A plan or an answer, with all that the assumptions of the simulation speak of."""

    key: str
    """Equal for equal requests: methods share them."""
    kind: str
    tokens: int
    gold: str
    """all, some or none of the gold passages were before the model"""
    others: int
    """Passages before it that are not gold."""
    may_choose: bool
    """Between another search and the answer: nothing in the prompt settles it."""
    stopped: bool
    left_share: float | None
    """Of the searches, where the prompt says it."""
    query: str
    told: bool
    """The query stood in the prompt."""
    earlier: tuple[str, ...]
    """Queries of the run before this one; the question, which some methods search by themselves, if it wrote none."""
    could_write: str
    """A query for a missing gold passage that could be written by now; empty if there is none."""
    finds: bool
    """The query finds a missing gold passage."""
    could_find: bool
    """So does the one that could be written."""
    answer: str
    right: bool
    score: float
    """F1 of the answer."""
    rating: float | None
    gold_share: float

    @property
    def abstains(self) -> bool:
        return abstained(self.answer) or (not self.right and bool(_ABSTAINS.search(self.answer)))

    @property
    def repeats(self) -> bool:
        return any(jaccard(tokens(self.query), tokens(one)) >= SAME_QUERY for one in self.earlier)


def steps_of(done: Done, bench: Bench) -> Iterator[Step]:
    """The requests of one run in order."""
    earlier: list[str] = []
    for call in done.calls:
        step = _step(call, done.question, bench, tuple(earlier))
        earlier += [step.query] if step.query else []
        yield step


def _step(call: WireCall, question: Question, bench: Bench, earlier: tuple[str, ...]) -> Step:
    text, said = text_of(call.body), call.message.get("content") or ""
    read = _read(text, bench.lines)
    known, gold = {passage.id for passage in read}, set(question.gold_ids)
    query, answer = _query(call, said), _answer(call.kind, said)
    reachable = reachable_queries(question, read)
    left = _LEFT.findall(text)
    return Step(
        key=content_hash(call.body),
        kind=call.kind,
        tokens=call.output_tokens,
        gold="all" if gold <= known else "some" if gold & known else "none",
        others=len(known - gold),
        may_choose=_may_choose(call, text, len(earlier)),
        stopped=not query,
        left_share=int(left[-1][0]) / max(1, int(left[-1][1])) if left else None,
        query=query,
        told=_is_told(text, len(earlier)),
        earlier=earlier or ((question.text,) if read else ()),
        could_write=reachable[0] if reachable else "",
        finds=_finds(bench.pool, query, gold - known),
        could_find=bool(reachable) and _finds(bench.pool, reachable[0], gold - known),
        answer=answer,
        right=_is_right(answer, question),
        score=f1(answer, question.answers),
        rating=parse_critic_score(said) if call.kind == "rating" else None,
        gold_share=len(gold & known) / len(gold),
    )


def _is_told(text: str, num_searches: int) -> bool:
    """The prompt says what to search for."""
    return QUESTION_FIRST in text and not num_searches


def _may_choose(call: WireCall, text: str, num_searches: int) -> bool:
    least = _LEAST.search(text)
    if _is_told(text, num_searches) or (least and num_searches < int(least.group(1))):
        return False
    return "DONE:" in text or bool(call.body.get("tools")) or _OFFERED in text


def _read(text: str, lines: Mapping[str, Any]) -> Sequence[Passage]:
    """Passages in a prompt, known by their lines."""
    found = (lines.get(_NUMBER.sub("", line.removeprefix("Observation: "))) for line in text.split("\n"))
    return list({passage.id: passage for passage in found if passage is not None}.values())


def _query(call: WireCall, said: str) -> str:
    """What it would search for next; empty where it does not search, or wrote what cannot be read."""
    if call.kind == "proposal":
        return parse_proposal(said).next_query
    for one in call.message.get("tool_calls") or ():
        return _field(one["function"]["arguments"])
    found = _QUERY.search(said) if call.kind == "thought, tool call" else None
    return _field(found.group(1)) if found else ""


def _field(arguments: str) -> str:
    try:
        return str(json.loads(arguments)["query"])
    except (ValueError, LookupError, TypeError):
        return ""


def _answer(kind: str, said: str) -> str:
    """The text that was given as an answer; empty where none was."""
    if kind == "thought, answer":
        found = _ANSWER.search(said)
        said = found.group(1) if found else said
    elif kind != "answer":
        return ""
    return split_citations(said, ())[0]


def _is_right(answer: str, question: Question) -> bool:
    """A gold answer stands in it, or it in one, or it is most of one: the form is another matter."""
    given = normalise(answer)
    rights = [right for right in map(normalise, question.answers) if right]
    stands = any(f" {one} " in f" {other} " for right in rights for one, other in ((right, given), (given, right)))
    return bool(given) and (stands or f1(answer, question.answers) > 0.5)


def _finds(pool: Pool, query: str, missing: set[str]) -> bool:
    return bool(query) and bool(missing & {passage.id for passage, _ in pool.search(query, _DEPTH)})
