"""What the rollout server is asked: verl's sampling parameters, checked once."""

from dataclasses import dataclass
from typing import Any

# top_p=1, top_k=-1 or 0 and repetition_penalty=1 mean "off"
_OFF = {"top_p": (1, None), "top_k": (-1, 0, None), "repetition_penalty": (1, None), "stop": (None, [], "")}
_KNOWN = {"temperature", "max_tokens", "max_new_tokens", "logprobs", *_OFF}


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


def check_sampling_params(params: dict[str, Any]) -> None:
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


def token_limit(params: dict[str, Any], *, response_length: int) -> int:
    """Number of tokens that may be sampled: what the caller asks for, at most `response_length`."""
    asked = params.get("max_tokens") or params.get("max_new_tokens") or response_length
    return min(asked, response_length)
