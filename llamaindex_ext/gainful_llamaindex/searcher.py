"""The I/O of a search run: what the controller asks for is done with a retriever or a capped copy of the model."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.llms import LLM
from llama_index.core.prompts import BasePromptTemplate
from llama_index.core.schema import MetadataMode, NodeWithScore

from gainful.budget import Budget, Usage
from gainful.budget.actions import Answer, Critique, Observation, Passage, Propose, Search
from gainful.budget.controller import Controller
from gainful.budget.memory import Evidence
from gainful.budget.state import SearchState
from gainful.errors import UnknownNameError, did_you_mean
from gainful_llamaindex.adapt import input_tokens_of, usage_of
from gainful_llamaindex.clients import Clients
from gainful_llamaindex.prompts import ANSWER_PROMPT, CRITIC_PROMPT, PROPOSE_PROMPT, known_facts, numbered
from gainful_llamaindex.run_state import clock
from gainful_llamaindex.token_caps import TokenCap, capped, own_cap

__all__ = ["ModelAction", "Searcher", "passages_of"]

ModelAction = Propose | Answer | Critique
OnText = Callable[[ChatResponse], None]

_log = logging.getLogger("gainful.llamaindex")


@dataclass
class Searcher:
    """What an agent and a query engine share. Holds no state of any run."""

    controller: Controller
    budget: Budget
    llm: LLM
    retrievers: Mapping[str, BaseRetriever]
    """By name of the search tool."""
    token_cap: TokenCap | None = None
    clients: Clients = field(default_factory=Clients)
    prompts: dict[str, BasePromptTemplate] = field(
        default_factory=lambda: {
            "propose_prompt": PROPOSE_PROMPT,
            "answer_prompt": ANSWER_PROMPT,
            "critic_prompt": CRITIC_PROMPT,
        }
    )

    def update_prompts(self, prompts: Mapping[str, BasePromptTemplate]) -> None:
        """Replace prompts by key.

        Raises:
            UnknownNameError: There is no such prompt.
        """
        for name, prompt in prompts.items():
            if name not in self.prompts:
                known = ", ".join(self.prompts)
                raise UnknownNameError(f"unknown prompt {name!r}{did_you_mean(name, self.prompts)}; known: {known}")
            self.prompts[name] = prompt

    def start(self, question: str, budget: Budget, host_steps: int | None = None) -> SearchState:
        """A fresh run."""
        tools = tuple(self.retrievers)
        return self.controller.start(question, budget, clock(), tools=tools, host_steps=host_steps)

    async def search(self, action: Search) -> Observation:
        """Call one retriever once."""
        timeout = action.caps.timeout_seconds
        try:
            nodes = await asyncio.wait_for(self.retrievers[action.tool].aretrieve(action.query), timeout)
        except Exception as error:
            return _failed(action.tool, error, timeout)
        return Observation(passages=passages_of(nodes[: action.num_passages]), usage=Usage(tool_calls=1))

    async def ask(self, state: SearchState, action: ModelAction, on_text: OnText | None = None) -> Observation:
        """Make one model call within its caps.

        Args:
            state: The run; read only.
            action: What the controller asks for.
            on_text: Called for each piece of a streamed response; None does not stream.
        """
        messages, timeout, cap = self.messages(state, action), action.caps.timeout_seconds, action.caps.max_input_tokens
        if cap is not None and input_tokens_of(messages, (), state.config.input_margin) > cap:
            return Observation(outcome="refused", started=False)  # too long even without passages
        try:
            response = await asyncio.wait_for(self._respond(messages, action, on_text), timeout)
        except Exception as error:
            return _failed(action.kind, error, timeout)
        text = response.message.content or ""
        return Observation(text=text, usage=usage_of(response.raw, said_something=bool(text)))

    def messages(self, state: SearchState, action: ModelAction) -> list[ChatMessage]:
        """The prompt of a model call, with as many passages as its cap on input tokens takes."""
        if isinstance(action, Critique):
            return _as_messages(self.prompts["critic_prompt"], request=action.request.prompt)
        prompt = self.prompts["propose_prompt" if isinstance(action, Propose) else "answer_prompt"]
        by_id = {passage.id: passage for passage in state.evidence}
        passages = [by_id[name] for name in action.evidence_ids]
        cap, margin = action.caps.max_input_tokens, state.config.input_margin
        while True:
            messages = _filled(prompt, state, passages)
            if cap is None or not passages or input_tokens_of(messages, (), margin) <= cap:
                return messages
            passages = passages[:-1]

    async def _respond(
        self, messages: Sequence[ChatMessage], action: ModelAction, on_text: OnText | None
    ) -> ChatResponse:
        llm, cap = self.llm, action.caps.max_output_tokens
        if cap is not None:
            own = own_cap(llm, self.token_cap)
            llm = self.clients.lend(capped(llm, cap if own is None else min(cap, own), self.token_cap))
        if on_text is None:
            return await llm.achat(messages)
        last = None
        async for last in await llm.astream_chat(messages):
            on_text(last)
        if last is None:
            raise ValueError("the model's stream ended without a response")
        return last


def passages_of(nodes: Sequence[NodeWithScore]) -> tuple[Passage, ...]:
    """What the core sees of retrieved nodes: text, title and score; a node's own title, else its file name."""
    return tuple(
        Passage(text=node.node.get_content(metadata_mode=MetadataMode.NONE), title=_title(node), score=_score(node))
        for node in nodes
    )


def _filled(prompt: BasePromptTemplate, state: SearchState, passages: Sequence[Evidence]) -> list[ChatMessage]:
    return _as_messages(prompt, question=state.question, passages=numbered(passages), facts=known_facts(state.slots))


def _as_messages(prompt: BasePromptTemplate, **values: Any) -> list[ChatMessage]:
    return prompt.format_messages(**values)


def _title(node: NodeWithScore) -> str:
    metadata = node.node.metadata
    return str(metadata.get("title") or metadata.get("file_name") or "")


def _score(node: NodeWithScore) -> float | None:
    return None if node.score is None else float(node.score)


def _failed(what: str, error: Exception, timeout: float | None) -> Observation:
    """An error is an outcome: charged, recorded and named in the log, without the texts it may hold."""
    if timeout is not None and isinstance(error, asyncio.TimeoutError):
        return Observation(outcome="timeout")
    _log.warning("%s failed: %s", what, type(error).__name__)
    return Observation(outcome="error")
