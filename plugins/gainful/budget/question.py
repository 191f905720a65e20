"""What the form of a question says about it. Nothing here knows a data set."""

import re
from dataclasses import dataclass

from gainful.budget.config import ControllerConfig
from gainful.budget.names import names
from gainful.budget.spans import AnswerType, answer_type
from gainful.budget.text import content_terms, tokens
from gainful.budget.words import COMPARISON, NESTING, PREDICATES

__all__ = ["Question", "read_question"]

_POSSESSIVE = re.compile(r"\w['\u2019]s\b")


@dataclass(frozen=True)
class Question:
    """A question and its form."""

    text: str
    terms: frozenset[str]
    kind: AnswerType
    names: tuple[str, ...]
    compositionality: float
    """p_comp in [0, 1]."""
    is_comparison: bool

    def hops(self, config: ControllerConfig) -> int:
        """h: how many facts the question probably needs, 1 to 3."""
        cuts = (config.single_factor_below, config.two_factor_below)
        return 1 + sum(self.compositionality >= cut for cut in cuts)


def read_question(text: str, config: ControllerConfig) -> Question:
    """Each cue that is present adds its weight to the compositionality, up to 1 (ours)."""
    words = tokens(text)
    # the first word has a capital in any case
    opening = text.split()[0] if words else ""
    named = tuple(name for name in names(text) if name != opening)
    kind = answer_type(text)
    compares = len(named) > 1 and (kind == "choice" or bool(COMPARISON & set(words)))
    cues = (
        config.nested_cue * (_nesting(words) + len(_POSSESSIVE.findall(text)) > 1),
        config.comparison_cue * compares,
        config.names_cue * (len(named) > 1),
        config.predicates_cue * (sum(word in PREDICATES for word in words) > 1),
    )
    return Question(
        text=text,
        terms=content_terms(text),
        kind=kind,
        names=named,
        compositionality=min(1.0, sum(cues)),
        is_comparison=compares,
    )


def _nesting(words: list[str]) -> int:
    """Nesting words after the first one, which only opens the question."""
    return sum(word in NESTING for word in words[1:])
