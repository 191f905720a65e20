"""A scripted model that plays both parts: an agent that calls tools, and the planner and reader of a search agent.

It knows each question's chain of sub-questions and nothing else: a name can come out of it only if the name stands in
the texts it was given. It searches every hop twice, as cautious agents do. What it does says nothing about any model.
"""

import re
from collections.abc import Sequence

from llama_index.core.base.llms.types import ChatMessage
from world import Question

from gainful_llamaindex.testing import Reply, ScriptedLLM

__all__ = ["scripted_llm"]

_PASSAGE = re.compile(r"^\[(\d+)\] (.+)$", re.MULTILINE)


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
        times = sum(hop.opening in text for text in results)
        if times < 2 and tools:
            doubt = "" if times == 0 else " to be sure"
            return Reply(text="I look it up.", tools=[("search", {"query": hop.query + doubt})])
        if times == 0:
            return "I could not find out."
    return question.answer


def _plan(question: Question, prompt: str) -> str:
    """The line protocol: what the passages settle, and the next hop or the answer."""
    found = [hop for hop in question.hops if hop.opening in prompt]
    lines = [f"FOUND: {found[-1].answer}"] if found else []
    missing = next((hop for hop in question.hops if hop not in found), None)
    return "\n".join([*lines, f"DONE: {question.answer}" if missing is None else f"NEXT: {missing.query}"])


def _answer_from(question: Question, prompt: str) -> str:
    if not all(hop.opening in prompt for hop in question.hops):
        return "unknown"
    passages = _PASSAGE.findall(prompt)
    cited = next(number for number, text in passages if question.hops[-1].opening in text)
    return f"{question.answer} [{cited}]"
