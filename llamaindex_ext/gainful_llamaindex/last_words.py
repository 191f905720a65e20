"""An answer without a model goes into the chat history in the form that the next turn expects."""

from typing import Any

from llama_index.core.agent.react.types import ActionReasoningStep, ResponseReasoningStep
from llama_index.core.agent.workflow import FunctionAgent, ReActAgent
from llama_index.core.base.llms.types import ChatMessage

__all__ = ["keep_turn"]


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
