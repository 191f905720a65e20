"""A scripted model that plays both parts: an agent that calls tools, and the planner and reader of a search agent.

It knows each question's chain of sub-questions and nothing else: a name can come out of it only if the name stands in
the texts it was given. It searches every hop twice, as cautious agents do. What it does says nothing about any model.
"""

import re
from collections.abc import Sequence

from llama_index.core.base.llms.types import ChatMessage
from world import Hop, Question

from gainful_llamaindex.testing import Reply, ScriptedLLM

__all__ = ["scripted_llm"]

_PASSAGE = re.compile(r"^\[(\d+)\] ([^:]+):", re.MULTILINE)


def scripted_llm(questions: Sequence[Question]) -> ScriptedLLM:
    """A model for these questions."""
    by_text = {question.text: question for question in questions}

    def reply(messages: Sequence[ChatMessage], tools: list[str]) -> Reply | str:
        said = "\n".join(message.content or "" for message in messages)
        question = next(question for text, question in by_text.items() if text in said)
        if said.startswith("You plan searches"):
            return _plan(question, said)
        if "numbered passages" in said:
            return _answer_from(question, said)
        return _agent_step(question, messages, tools)

    return ScriptedLLM(script=reply)


def _agent_step(question: Question, messages: Sequence[ChatMessage], tools: list[str]) -> Reply | str:
    """Search the first hop that was not found twice; without tools, say what was found."""
    results = [message.content or "" for message in messages if message.role == "tool"]
    for hop in question.hops:
        times = sum(_holds(hop, text) for text in results)
        if times < 2 and tools:
            doubt = "" if times == 0 else " to be sure"
            return Reply(text="I look it up.", tools=[("search", {"query": hop.query + doubt})])
        if times == 0:
            return "I could not find out."
    return question.answer


def _plan(question: Question, prompt: str) -> str:
    """The line protocol: what the passages settle, and the next hop or the answer."""
    found = [hop for hop in question.hops if _holds(hop, prompt)]
    lines = [f"FOUND: {found[-1].answer}"] if found else []
    missing = next((hop for hop in question.hops if hop not in found), None)
    return "\n".join([*lines, f"DONE: {question.answer}" if missing is None else f"NEXT: {missing.query}"])


def _answer_from(question: Question, prompt: str) -> str:
    if not all(_holds(hop, prompt) for hop in question.hops):
        return "unknown"
    cited = [number for number, title in _PASSAGE.findall(prompt) if title == question.hops[-1].title]
    return f"{question.answer} [{cited[0]}]"


def _holds(hop: Hop, text: str) -> bool:
    """True if the text that holds the hop was retrieved, not just named."""
    opening = {"director": " is a film of", "the fil": " is a film of", "where w": " was a film director"}
    kind = next((words for start, words in opening.items() if hop.query.startswith(start)), " is a town in")
    return f"{hop.title}{kind}" in text
