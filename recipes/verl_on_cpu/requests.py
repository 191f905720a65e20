"""What the rollout server is asked: verl's sampling parameters as vLLM reads them, checked once."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# top_p=1, top_k=-1 or 0 and repetition_penalty=1 mean "off"
_OFF = {
    "top_p": (1, None),
    "top_k": (-1, 0, None),
    "min_p": (0, None),
    "repetition_penalty": (1, None),
    "presence_penalty": (0, None),
    "frequency_penalty": (0, None),
    "ignore_eos": (False, None),
    "n": (1, None),
    "prompt_logprobs": (0, None),  # 0: the prompt's own tokens and no others
}
_TAKEN = {"temperature", "max_tokens", "max_new_tokens", "logprobs", "stop", "stop_token_ids", "seed"}
_KNOWN = _TAKEN | set(_OFF)


class UnsupportedRequestError(ValueError):
    """A request asks for something this engine does not do."""


@dataclass(frozen=True, slots=True)
class Request:
    """One prompt to continue."""

    prompt_ids: tuple[int, ...]
    max_tokens: int
    """>= 1."""
    temperature: float
    """0 means greedy."""
    seed: int
    """Decides the sampled tokens, whatever other requests share the batch."""
    stop: tuple[str, ...] = ()
    """The continuation ends with the token that completes one of these in its text; that token is kept."""
    stop_token_ids: tuple[int, ...] = ()
    """Tokens that end it, beside the model's own end tokens."""
    scores_prompt: bool = False
    """Whether the log-probabilities of the prompt's tokens are wanted too."""


def check_sampling_params(params: Mapping[str, Any]) -> None:
    """Refuse what would otherwise be ignored.

    Raises:
        UnsupportedRequestError: A parameter is unknown or has a value that this engine does not do.
    """
    unknown = sorted(set(params) - _KNOWN)
    if unknown:
        raise UnsupportedRequestError(f"batched_cpu: unknown sampling parameters {unknown}; known: {sorted(_KNOWN)}")
    for name, off_values in _OFF.items():
        if params.get(name) not in off_values:
            raise UnsupportedRequestError(
                f"batched_cpu: {name} must be off ({off_values[0]}), got {params[name]!r}; "
                f"set it in actor_rollout_ref.rollout and in its val_kwargs"
            )
    if (params.get("temperature") or 0) < 0:
        raise UnsupportedRequestError(f"batched_cpu: temperature must be >= 0, got {params['temperature']!r}")


def check_text_only(**media: Any) -> None:
    """Refuse images, videos and sound.

    Raises:
        UnsupportedRequestError: Any of `media` is there.
    """
    given = sorted(name for name, data in media.items() if data)
    if given:
        raise UnsupportedRequestError(f"batched_cpu: text only, got {given}; use a rollout engine that takes them")


@dataclass(frozen=True, slots=True)
class Limits:
    """How many tokens a prompt and a response may have together."""

    prompt_length: int
    response_length: int
    context_length: int
    """Of the model."""

    def new_tokens(self, params: Mapping[str, Any], prompt_len: int) -> int:
        """What may be sampled: what the caller asks for, or what is left of the configured lengths; at least 1.

        Raises:
            UnsupportedRequestError: The prompt fills the model's context.
        """
        room = self.context_length - prompt_len
        if room < 1:
            raise UnsupportedRequestError(
                f"batched_cpu: a prompt must have fewer than {self.context_length} tokens, got {prompt_len}; "
                "lower data.max_prompt_length or data.max_response_length"
            )
        asked = params.get("max_tokens") or params.get("max_new_tokens")
        if asked is None:
            asked = min(self.response_length, self.prompt_length + self.response_length - prompt_len)
        return max(1, min(asked, room))


def stop_strings(params: Mapping[str, Any]) -> tuple[str, ...]:
    """`stop` as vLLM takes it: one text or a list of them."""
    given = params.get("stop") or ()
    return (given,) if isinstance(given, str) else tuple(given)
