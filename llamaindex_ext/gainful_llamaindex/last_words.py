"""An answer without a model, and a chat history that holds it in the form the next turn expects."""

from collections.abc import Sequence
from typing import Any

from llama_index.core.agent.react.types import ActionReasoningStep, ResponseReasoningStep
from llama_index.core.agent.workflow import FunctionAgent, ReActAgent
from llama_index.core.base.llms.types import ChatMessage

__all__ = ["fallback_text", "keep_turn"]

_NO_ANSWER = "No answer: the budget of this run was spent before one could be written."
_MAX_PASSAGES = 5
_MAX_CHARS = 300


def fallback_text(evidence: Sequence[str]) -> str:
    """That there is no answer, and what the tools returned last."""
    found = [f"[{n}] {text[:_MAX_CHARS]}" for n, text in enumerate(evidence[-_MAX_PASSAGES:], start=1)]
    return "\n".join([_NO_ANSWER, *(["Found until then:", *found] if found else [])])


async def keep_turn(agent: Any, ctx: Any, text: str) -> None:
    """Write `text` as the agent's last turn, in the place of calls that are not made.

    A call without a result in the history makes a provider refuse the next turn.
    """
    if isinstance(agent, FunctionAgent):
        pad: list[ChatMessage] = await ctx.store.get(agent.scratchpad_key, default=[])
        kept = pad[:-1] if pad and pad[-1].role == "assistant" else pad
        await ctx.store.set(agent.scratchpad_key, [*kept, ChatMessage(role="assistant", content=text)])
    elif isinstance(agent, ReActAgent):
        thoughts: list[Any] = await ctx.store.get(agent.reasoning_key, default=[])
        kept_thoughts = thoughts[:-1] if thoughts and isinstance(thoughts[-1], ActionReasoningStep) else thoughts
        last = ResponseReasoningStep(thought="The budget is spent.", response=text, is_streaming=False)
        await ctx.store.set(agent.reasoning_key, [*kept_thoughts, last])
