"""What a request was for, told from its prompt, under the names that the simulated model uses."""

from typing import Any

from model import RATE

from gainful_llamaindex.prompts import ANSWER_PROMPT, PROPOSE_PROMPT

_OPENINGS = {
    PROPOSE_PROMPT.template.split(".")[0]: "proposal",
    RATE.split(".")[0]: "rating",
    ANSWER_PROMPT.template.split(".")[0]: "answer",
}
_IS_REACT = "Action Input:"
_CALLS = "Action:"


def kind_of(body: dict[str, Any], message: dict[str, Any]) -> str:
    """Of a request and the message that answered it."""
    text = text_of(body)
    if _IS_REACT in text:
        return "thought, tool call" if _CALLS in (message.get("content") or "") else "thought, answer"
    if message.get("tool_calls"):
        return "tool call"
    return next((kind for opening, kind in _OPENINGS.items() if text.startswith(opening)), "answer")


def text_of(body: dict[str, Any]) -> str:
    """All messages as one text, tool results included."""
    return "\n".join(_plain(message.get("content")) for message in body["messages"])


def _plain(content: Any) -> str:
    """Some clients send a list of parts."""
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content)
    return content or ""
