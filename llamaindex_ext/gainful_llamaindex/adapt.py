"""LlamaIndex's values <-> the core's: usage, input tokens, tool calls. Nothing is decided here."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, MessageRole, ToolCallBlock
from llama_index.core.callbacks.token_counting import get_tokens_from_response
from llama_index.core.tools import BaseTool, ToolSelection
from llama_index.core.utils import get_tokenizer

from gainful.budget import Usage

__all__ = ["call_key", "cut_calls", "input_tokens_of", "question_of", "usage_of"]


@dataclass
class _Response:
    """As much of a response as LlamaIndex's token counter reads."""

    raw: Any
    additional_kwargs: Mapping[str, Any] = field(default_factory=dict)


def usage_of(raw: Any, *, said_something: bool = True) -> Usage | None:
    """Tokens that the provider reported in the raw response; None if it reported none.

    A report of zero output tokens for a response that says something is no report.
    """
    try:
        given, written = get_tokens_from_response(_Response(raw))  # type: ignore[arg-type]
    except (TypeError, ValueError, AttributeError):
        return None  # whatever the provider put there, it is not a report
    if not written and (said_something or not given):
        return None
    return Usage(output_tokens=written, input_tokens=given or None)


def input_tokens_of(messages: Sequence[ChatMessage], tools: Iterable[BaseTool], margin: float) -> int:
    """Estimated tokens of a prompt: the host's tokenizer, times `margin`."""
    parts = [f"{message.role.value}: {message.content or ''}" for message in messages]
    parts += [str(block.tool_kwargs) for message in messages for block in _tool_blocks(message)]
    parts += [json.dumps(tool.metadata.get_parameters_dict()) + tool.metadata.description for tool in tools]
    return math.ceil(len(get_tokenizer()("\n".join(parts))) * margin)


def question_of(messages: Sequence[ChatMessage]) -> str:
    """What the user said last."""
    said = (message.content for message in reversed(messages) if message.role == MessageRole.USER and message.content)
    return next(said, "")


def cut_calls(message: ChatMessage) -> set[str]:
    """Ids of the tool calls whose arguments are no complete JSON: the cap cut them."""
    return {block.tool_call_id or "" for block in _tool_blocks(message) if not _is_mapping(block.tool_kwargs)}


def call_key(selection: ToolSelection) -> str:
    """Equal for calls of one tool with the same arguments."""
    return json.dumps([selection.tool_name, selection.tool_kwargs], sort_keys=True, default=repr)


def _tool_blocks(message: ChatMessage) -> list[ToolCallBlock]:
    return [block for block in message.blocks if isinstance(block, ToolCallBlock)]


def _is_mapping(arguments: Any) -> bool:
    if not isinstance(arguments, str):
        return isinstance(arguments, Mapping)
    try:
        return not arguments.strip() or isinstance(json.loads(arguments), dict)
    except ValueError:
        return False
