"""Passages as evidence: named by content, cleaned once, indexed once."""

from collections.abc import Sequence
from dataclasses import dataclass

from gainful.budget.actions import Passage
from gainful.budget.bridges import bridge_names, is_anchor, plain_title
from gainful.budget.config import ControllerConfig
from gainful.budget.hashing import short_hash
from gainful.budget.memory import Evidence
from gainful.budget.question import Question
from gainful.budget.spans import has_type
from gainful.budget.text import normalise, tokens

__all__ = ["PassageIndex", "as_evidence", "clean", "index_passage"]


@dataclass(frozen=True)
class PassageIndex:
    """The words of one passage, which are looked up often."""

    words: frozenset[str]
    padded: str
    """Normalised text between spaces, for finding spans of whole words."""
    topic: str
    """Normalised title, without what stands in parentheses."""
    is_anchor: bool
    """The question names the topic."""
    bridges: tuple[str, ...]
    """Names to go on with, the most promising first."""
    has_type: bool
    """It holds a span of the type that the question asks for."""

    def holds(self, span: str) -> bool:
        """True if the words of `span` stand here one after another."""
        wanted = normalise(span)
        return bool(wanted) and f" {wanted} " in self.padded


def clean(text: str, max_chars: int) -> str:
    """Cut, and without what cannot be written as UTF-8."""
    return text[:max_chars].encode(errors="replace").decode()


def as_evidence(found: Sequence[Passage], query: int) -> list[Evidence]:
    """Distinct passages of one search, in its order. Their id is a hash of title and text."""
    evidence: dict[str, Evidence] = {}
    for rank, passage in enumerate(found):
        title, text = passage.title, passage.text
        name = short_hash(f"{title}\n{text}")
        if name not in evidence:
            evidence[name] = Evidence(
                id=name,
                title=title,
                text=text,
                score=passage.score,
                rank=rank,
                query=query,
                num_tokens=len(tokens(text)),
            )
    return list(evidence.values())


def index_passage(evidence: Evidence, question: Question, config: ControllerConfig) -> PassageIndex:
    """Once for each passage, when it is found."""
    text = f"{evidence.title} {evidence.text}"
    return PassageIndex(
        words=frozenset(tokens(text)),
        padded=f" {normalise(text)} ",
        topic=normalise(plain_title(evidence.title)),
        is_anchor=is_anchor(evidence.title, question),
        bridges=bridge_names(evidence.title, evidence.text, question, config),
        has_type=has_type(question.kind, text, question.text),
    )
