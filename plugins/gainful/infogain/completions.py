"""A probe for served models, for scoring without a trainer."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from gainful.endpoint import CallFailedError, Endpoint
from gainful.errors import ConfigError
from gainful.infogain.config import GainOptions
from gainful.infogain.probe import answer_of
from gainful.infogain.types import AnswerSample, Missing

__all__ = ["CompletionsProbe", "evidence_prompt"]


class CompletionsProbe:
    """Draws answers from the `/completions` of an OpenAI-compatible server."""

    def __init__(self, options: GainOptions) -> None:
        """Prepare the connection; nothing is sent yet.

        Raises:
            ConfigError: No address is set, or the key's variable is not.
        """
        probe = options.probe
        if not probe.endpoint_url:
            raise ConfigError("probe.endpoint_url: needed where beliefs are not in the file; set it, or measure before")
        self._options = options
        self._endpoint = Endpoint(
            probe.endpoint_url,
            api_key_env=probe.api_key_env,
            timeout_s=probe.timeout_s,
            where="probe.endpoint_url",
        )

    async def sample(self, prefix: str, num_samples: int, seed: int) -> Sequence[AnswerSample] | Missing:
        """One request for all answers."""
        probe = self._options.probe
        body = {
            "model": probe.endpoint_model,
            "prompt": prefix + probe.suffix,
            "n": num_samples,
            "temperature": 1.0,
            "max_tokens": probe.max_tokens,
            "stop": list(probe.stop),
            "logprobs": 1,
            "seed": seed,
        }
        try:
            return _samples(await asyncio.to_thread(self._endpoint.post, "/completions", body), num_samples)
        except CallFailedError as error:
            return Missing("probe_timeout" if error.timed_out else "probe_failed", str(error))


def evidence_prompt(question: str, documents: Sequence[str]) -> str:
    """Question and evidence, blind to what the policy wrote; the wording is ours."""
    found = "".join(f"Doc {number}: {text}\n" for number, text in enumerate(documents, 1))
    return f"{found}Question: {question}\n"


def _samples(reply: Mapping[str, Any], num_samples: int) -> Sequence[AnswerSample] | Missing:
    choices = reply.get("choices")
    if not isinstance(choices, list) or len(choices) != num_samples:
        got = len(choices) if isinstance(choices, list) else "none"
        return Missing("probe_failed", f"expected {num_samples} choices, got {got}")
    try:
        return [_sample(choice) for choice in choices]
    except (AttributeError, LookupError, TypeError, ValidationError) as error:
        return Missing("probe_failed", f"unexpected reply: {type(error).__name__}")


def _sample(choice: Mapping[str, Any]) -> AnswerSample:
    logprobs = [value for value in (choice.get("logprobs") or {}).get("token_logprobs") or [] if value is not None]
    return answer_of(choice["text"], (), logprobs)
