"""The prompts of the search agents. The core reads the proposal's three keywords; keep them when you change it."""

from collections.abc import Sequence

from llama_index.core.prompts import PromptTemplate

from gainful.budget.memory import Evidence, Slot

__all__ = ["ANSWER_PROMPT", "CRITIC_PROMPT", "PROPOSE_PROMPT", "known_facts", "numbered"]

PROPOSE_PROMPT = PromptTemplate(
    "You plan searches for a question. Reply with at most two short lines and nothing else.\n"
    "First line, only if a passage settles an open point: FOUND: <the exact words from the passage>\n"
    "Last line: NEXT: <the one search query that is needed now, with names instead of pronouns>\n\n"
    "Passages:\n{passages}\n\n"
    "Known so far:\n{facts}\n\n"
    "Question: {question}\n"
)

ANSWER_PROMPT = PromptTemplate(
    "Answer the question from the numbered passages. Write only the answer: a name, a date, a number, yes or no, or a "
    "few words, followed by the numbers of the passages it rests on, such as [2]. No explanation.\n\n"
    "Passages:\n{passages}\n\n"
    "Known so far:\n{facts}\n\n"
    "Question: {question}\n"
    "Answer: "
)

CRITIC_PROMPT = PromptTemplate("{request}")


def numbered(passages: Sequence[Evidence]) -> str:
    """`[n] title: text`, one a line."""
    lines = (f"[{n}] {passage.title}: {passage.text}" for n, passage in enumerate(passages, start=1))
    return "\n".join(lines) or "none"


def known_facts(slots: Sequence[Slot]) -> str:
    """What was found for each point that has a value."""
    return "\n".join(f"- {slot.text or 'found'}: {slot.value}" for slot in slots if slot.value) or "nothing"
