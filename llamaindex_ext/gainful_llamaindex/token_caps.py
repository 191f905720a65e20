"""Which field of a LlamaIndex language model caps its output, and per-call copies that carry the ledger's cap.

A cap passed as a keyword of the call loses against `OpenAI(max_tokens=...)`, so it is set on a copy. The caller's
object is never changed, and there is no proxy: spans, callbacks and native structured output stay the host's own.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from llama_index.core.llms import LLM

from gainful_llamaindex.errors import UnsupportedLLMError
from gainful_llamaindex.stream_cutoff import STREAM_CUTOFF, cut_off

__all__ = ["FIELDS", "TokenCap", "capped", "check_llm", "own_cap"]

TokenCap = str | Callable[[LLM, int], LLM]
"""Name of the field that caps output tokens, a function (llm, max_tokens) -> capped copy, or `"stream_cutoff"`."""

# Package and class -> field. Seen on the wire: the OpenAI family. The others are taken from their field names.
FIELDS = {
    ("gainful_llamaindex.testing", "ScriptedLLM"): "max_tokens",
    ("llama_index.llms.openai", "OpenAI"): "max_tokens",  # and all that inherit: OpenAILike, AzureOpenAI, Groq
    ("llama_index.llms.openai", "OpenAIResponses"): "max_output_tokens",
    ("llama_index.llms.anthropic", "Anthropic"): "max_tokens",
    ("llama_index.llms.litellm", "LiteLLM"): "max_tokens",
    ("llama_index.llms.bedrock_converse", "BedrockConverse"): "max_tokens",
    ("llama_index.llms.mistralai", "MistralAI"): "max_tokens",
    ("llama_index.llms.vllm", "Vllm"): "max_new_tokens",  # and VllmServer
    ("llama_index.llms.llama_cpp", "LlamaCPP"): "max_new_tokens",
}
_OLLAMA = ("llama_index.llms.ollama", "Ollama")

# Keywords that overrule a field of the same meaning, wherever a class keeps keywords for the provider.
_OVERRULING = frozenset({"max_tokens", "max_completion_tokens", "max_output_tokens", "max_new_tokens", "num_predict"})
_EXTRA_FIELDS = ("additional_kwargs", "generate_kwargs")
_MANY = ("n", "best_of")


def check_llm(llm: LLM, token_cap: TokenCap | None = None) -> None:
    """Refuse a language model whose output we cannot cap.

    Raises:
        UnsupportedLLMError: Unknown class without `token_cap`, several completions a call, reasoning outside the cap.
    """
    _setter(llm, token_cap)
    extras = _extras(llm)
    for name in _MANY:
        count = extras.get(name, getattr(llm, name, None))
        if isinstance(count, int) and count > 1:
            raise UnsupportedLLMError(
                f"{type(llm).__name__}: {name} is {count}, must be 1: a cap holds for one completion; set {name}=1"
            )
    if _known(type(llm)) == _OLLAMA and getattr(llm, "thinking", None):
        raise UnsupportedLLMError(
            "Ollama: thinking is on, and its tokens are not known to count against num_predict; set thinking=False"
        )


def own_cap(llm: LLM, token_cap: TokenCap | None = None) -> int | None:
    """The cap that the caller set on the model; None if there is none. The ledger only ever lowers it."""
    caps = [value for key, value in _extras(llm).items() if key in _OVERRULING]
    field = token_cap if token_cap is not None else FIELDS.get(_known(type(llm)) or ("", ""))
    if isinstance(field, str):
        caps.append(getattr(llm, field, None))
    numbers = [cap for cap in caps if isinstance(cap, int) and cap > 0]
    return min(numbers, default=None)


def capped(llm: LLM, max_tokens: int, token_cap: TokenCap | None = None) -> LLM:
    """A copy of `llm` that asks the server for at most `max_tokens` output tokens (>= 1), and for usage in streams.

    Raises:
        UnsupportedLLMError: As in `check_llm`.
    """
    return _setter(llm, token_cap)(llm, max_tokens)


def _setter(llm: LLM, token_cap: TokenCap | None) -> Callable[[LLM, int], LLM]:
    if callable(token_cap):
        return token_cap
    if token_cap == STREAM_CUTOFF:
        return cut_off
    known = _known(type(llm))
    if known == _OLLAMA and token_cap is None:
        return _cap_ollama
    field = token_cap or FIELDS.get(known or ("", ""))
    if field is None or field not in type(llm).model_fields:
        raise UnsupportedLLMError(
            f"{type(llm).__module__}.{type(llm).__name__}: expected a known field that caps output tokens, found "
            f"{'no entry for this class' if field is None else f'no field {field!r}'}; pass token_cap='<its field>', "
            "a function (llm, max_tokens) -> capped copy, or "
            "'stream_cutoff', which stops reading while the server may go on writing"
        )
    return lambda llm, max_tokens: _cap_field(llm, field, max_tokens)


@cache
def _known(cls: type) -> tuple[str, str] | None:
    """The entry of the nearest class in the resolution order that has one."""
    for base in cls.__mro__:
        for package, name in (*FIELDS, _OLLAMA):
            if base.__name__ == name and f"{base.__module__}.".startswith(f"{package}."):
                return package, name
    return None


def _cap_field(llm: LLM, field: str, max_tokens: int) -> LLM:
    update: dict[str, Any] = {field: max_tokens}
    for extra in _EXTRA_FIELDS:
        keywords = getattr(llm, extra, None)
        if isinstance(keywords, Mapping):
            update[extra] = {key: value for key, value in keywords.items() if key not in _OVERRULING}
    if "generate_kwargs" in update:  # LlamaCPP copies its field into these when it is built, and sends only them
        update["generate_kwargs"]["max_tokens"] = max_tokens
    if _known(type(llm)) == ("llama_index.llms.openai", "OpenAI"):
        _ask_for_usage(update)
    return llm.model_copy(update=update)


def _ask_for_usage(update: dict[str, Any]) -> None:
    """OpenAI's streams carry no usage unless asked; the class drops this option where it does not stream."""
    keywords = update.setdefault("additional_kwargs", {})
    keywords["stream_options"] = {**(keywords.get("stream_options") or {}), "include_usage": True}


def _cap_ollama(llm: LLM, max_tokens: int) -> LLM:
    keywords = {key: value for key, value in _extras(llm).items() if key not in _OVERRULING}
    return llm.model_copy(update={"additional_kwargs": {**keywords, "num_predict": max_tokens}})


def _extras(llm: LLM) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for extra in _EXTRA_FIELDS:
        keywords = getattr(llm, extra, None)
        merged |= keywords if isinstance(keywords, Mapping) else {}
    return merged
