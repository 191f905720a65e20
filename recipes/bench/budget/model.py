"""The simulated model as LlamaIndex sees it. It knows of a run only what stands in its prompt."""

import json
import re
from collections.abc import Sequence
from typing import Any

from brain import Plan
from data import Passage
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, TextBlock, ToolCallBlock
from llama_index.core.bridge.pydantic import Field

from gainful_llamaindex.prompts import PROPOSE_PROMPT
from gainful_llamaindex.testing import Call, Reply, ScriptedLLM
from gainful_llamaindex.token_caps import capped

TRACKER = "Searches left: {left} of {limit}."
AT_LEAST = "Search at least {number} times before you answer."
QUESTION_FIRST = "Search for the question itself first."
RATE = (
    "Rate from 0 to 100 how much of what the question needs is in the passages.\n\n"
    "Passages:\n{passages}\n\nQuestion: {question}"
)

_PLANS = PROPOSE_PROMPT.template.split(".")[0]
_RATES = RATE.split(".")[0]
_NUMBER = re.compile(r"^\[\d+\] ")
_TRACKER = re.compile(re.escape(TRACKER).replace(r"\{left\}", r"(\d+)").replace(r"\{limit\}", r"(\d+)"))
_AT_LEAST = re.compile(AT_LEAST.replace("{number}", r"(\d+)"))
_REACT = "> Tool Name: search"
_FOUND = "Observation: ["
_IS_REACT = "Action Input:"


class Said(Reply):
    """A reply with the tokens that it takes, if the cap has room for them."""

    kind: str
    num_tokens: int


class LoggedCall(Call):
    """One request as the server saw it: the auditor counts from these."""

    kind: str
    input_tokens: int


class SimulatedLLM(ScriptedLLM):
    """Finds its question and the passages in the prompt, and says what the brain for that question says.

    A cap cuts the text. What is left of a plan is of no use; of an answer the first words stay.
    """

    script: Any = None
    brains: Any = Field(exclude=True, description="brain by the text of its question")
    by_line: Any = Field(exclude=True, description="passage by its line in a prompt")

    def say(self, prompt: str, cap: int) -> tuple[str, int]:
        """Reply to one prompt without a framework: the text and its output tokens."""
        messages = [ChatMessage(content=prompt)]
        llm = capped(self, cap)
        response = llm._respond(llm._next(messages, {}), llm.calls[-1], messages)
        return response.message.content or "", self.calls[-1].output_tokens

    def _next(self, messages: Sequence[ChatMessage], kwargs: dict[str, Any]) -> Said:
        prompt = _Prompt(messages, self)
        tools = list(kwargs.get("tools") or [])
        said = prompt.reply(bool(tools))
        self.calls.append(
            LoggedCall(
                messages=[], tools=tools, max_tokens=self.max_tokens, kind=said.kind, input_tokens=prompt.num_words
            )
        )
        return said

    def _respond(self, reply: Said, call: LoggedCall, messages: Sequence[ChatMessage]) -> ChatResponse:
        cap = self.max_tokens
        fits = reply.num_tokens <= cap
        call.output_tokens = min(reply.num_tokens, cap)
        blocks: list[Any] = []
        for name, arguments in reply.tools:
            text = json.dumps(arguments)
            kept = text if fits else text[: len(text) // 2]
            blocks.append(ToolCallBlock(tool_call_id=f"call_{len(self.calls)}", tool_name=name, tool_kwargs=kept))
        text = reply.text if fits else _cut(reply, cap)
        blocks += [TextBlock(text=text)] if text else []
        raw = {"usage": {"prompt_tokens": call.input_tokens, "completion_tokens": call.output_tokens}}
        return ChatResponse(message=ChatMessage(role="assistant", blocks=blocks), delta=text, raw=raw)


def lines_of(passages: Sequence[Passage]) -> dict[str, Passage]:
    """Passages by their line in a prompt, without its number."""
    return {f"{passage.title}: {passage.text}": passage for passage in passages}


class _Prompt:
    """What a prompt asks for and what it holds."""

    def __init__(self, messages: Sequence[ChatMessage], llm: SimulatedLLM) -> None:
        self.text = "\n".join(message.content or "" for message in messages)
        self.num_words = len(self.text.split())
        self.num_searches = sum(message.role == "tool" for message in messages)
        found: dict[str, Passage] = {}
        brain = None
        for line in self.text.split("\n"):
            brain = brain or llm.brains.get(line.removeprefix("Question: "))
            plain = line.removeprefix("Observation: ")
            self.num_searches += line.startswith(_FOUND)
            passage = llm.by_line.get(_NUMBER.sub("", plain))
            if passage is not None:
                found[passage.id] = passage
        if brain is None:
            raise LookupError(f"the simulated model found none of its {len(llm.brains)} questions in a prompt")
        self.brain, self.read = brain, list(found.values())

    def reply(self, offers_tools: bool) -> Said:
        if _IS_REACT in self.text:
            return self._think(_REACT in self.text)
        if offers_tools:
            return self._call()
        if self.text.startswith(_PLANS):
            return self._propose()
        if self.text.startswith(_RATES):
            score = self.brain.rate(self.read)
            return self._said("rating", self.brain.noise.critic_tokens, text=str(round(100 * score)))
        return self._said("answer", self.brain.noise.answer_tokens, text=self.brain.answer(self.read))

    def _propose(self) -> Said:
        plan = self.brain.plan(self.read, may_stop="DONE:" in self.text)
        lines = [f"DONE: {self.brain.answer(self.read)}"] if plan.done else [f"NEXT: {plan.query}"]
        lines[:0] = [f"FOUND: {plan.found}"] if plan.found else []
        return self._said("proposal", self.brain.noise.proposal_tokens, text="\n".join(lines))

    def _call(self) -> Said:
        plan = self._next_search()
        if plan is None:
            return self._said("answer", self.brain.noise.answer_tokens, text=self.brain.answer(self.read))
        calls = [("search", {"query": plan.query})]
        return self._said("tool call", self.brain.noise.tool_call_tokens, tools=calls)

    def _think(self, may_search: bool) -> Said:
        noise, plan = self.brain.noise, self._next_search() if may_search else None
        if plan is None:
            text = f"Thought: I can answer without using any more tools.\nAnswer: {self.brain.answer(self.read)}"
            return self._said("thought, answer", noise.thought_tokens + noise.answer_tokens, text=text)
        arguments = json.dumps({"query": plan.query})
        text = f"Thought: I need to know more.\nAction: search\nAction Input: {arguments}"
        return self._said("thought, tool call", noise.thought_tokens + noise.tool_call_tokens, text=text)

    def _next_search(self) -> Plan | None:
        """None: it answers now. What the prompt says about searching is obeyed."""
        if QUESTION_FIRST in self.text and not self.num_searches:
            return Plan(query=self.brain.question.text)
        least = _AT_LEAST.search(self.text)
        left = _TRACKER.findall(self.text)
        strength = self.brain.noise.tracker_strength
        eager = 1 - strength * int(left[-1][0]) / max(1, int(left[-1][1])) if left else 1.0
        may_stop = not least or self.num_searches >= int(least.group(1))
        plan = self.brain.plan(self.read, may_stop=may_stop, eager=eager)
        return None if plan.done else plan

    def _said(self, kind: str, mean: float, **content: Any) -> Said:
        slot = len(self.read) + 100 * self.num_searches
        return Said(kind=kind, num_tokens=self.brain.num_tokens(mean, kind, slot), **content)


def _cut(reply: Said, cap: int) -> str:
    """The first words of an answer; of anything else what opens it and helps nobody."""
    if reply.kind == "answer":
        words = reply.text.split()
        return " ".join(words[: len(words) * cap // reply.num_tokens])
    return "Thought: I need" if reply.kind.startswith("thought") else ""
