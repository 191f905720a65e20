"""Asks the policy in training for short answers, through the rollout server that its agent loop has already."""

import asyncio
import time
from collections.abc import Sequence
from itertools import count
from typing import Any

from gainful.infogain import AnswerSample, Missing
from gainful.infogain.probe import answer_of
from gainful.infogain.tally import ProbeUse
from gainful.infogain.training import TrainingProbeOptions

__all__ = ["PolicyProbe"]

AS_IT_IS = {"temperature": 1.0, "top_p": 1.0, "top_k": -1, "repetition_penalty": 1.0}
"""The policy's own distribution; left out, a server's defaults may cut it."""


class PolicyProbe:
    """A `gainful.infogain.Probe` for prefixes of token ids; one for each trajectory."""

    def __init__(
        self,
        server_manager: Any,
        tokenizer: Any,
        request_id: str,
        options: TrainingProbeOptions,
        use: ProbeUse,
        *,
        max_tokens: int,
        own_ids: bool,
    ) -> None:
        """Prepare the tokens that every probe ends with.

        Args:
            server_manager: verl's client of the rollout servers.
            tokenizer: The policy's.
            request_id: The trajectory's; the same one reaches the server that has its prefix cached.
            options: How answers are asked for.
            use: Counts what the probes cost.
            max_tokens: Of prefix and answer together.
            own_ids: Give each call an id of its own, where verl passes ids on to the engine as they are.
        """
        self._server_manager, self._tokenizer, self._options = server_manager, tokenizer, options
        self._request_id, self._own_ids, self._number = request_id, own_ids, count()
        self._max_tokens, self._use = max_tokens, use
        self._suffix = tokenizer.encode(options.suffix, add_special_tokens=False)

    async def sample(self, prefix: Sequence[int], num_samples: int, seed: int) -> Sequence[AnswerSample] | Missing:
        """Draw answers: the first alone, so that the others find its prefix in the cache."""
        prompt = [*prefix, *self._suffix]
        room = self._max_tokens - len(prompt)
        if room < 1:
            return Missing("no_room", f"{len(prompt)} tokens of {self._max_tokens}")
        params = {"max_tokens": min(self._options.max_tokens, room), "stop": list(self._options.stop), "logprobs": True}
        first = await self._generate(prompt, {**params, "seed": seed})
        rest = await asyncio.gather(
            *(self._generate(prompt, {**params, "seed": seed + number}) for number in range(1, num_samples))
        )
        if any(output.stop_reason == "aborted" for output in (first, *rest)):
            return Missing("probe_failed", "aborted")
        return [self._answer(output) for output in (first, *rest)]

    async def gold_logprob(self, prefix: Sequence[int], gold: Sequence[str]) -> Sequence[float] | Missing:
        """Mean ln p of the tokens of each alias, which the engine scores as part of a prompt."""
        found = await asyncio.gather(*(self._logprob([*prefix, *self._suffix], alias) for alias in gold))
        missing = [value for value in found if isinstance(value, Missing)]
        return missing[0] if missing else [value for value in found if not isinstance(value, Missing)]

    async def _logprob(self, prompt: list[int], alias: str) -> float | Missing:
        tokens = self._tokenizer.encode(alias, add_special_tokens=False)
        if not tokens:
            return Missing("no_gold", "an alias without a token")
        if len(prompt) + len(tokens) >= self._max_tokens:
            return Missing("no_room", f"{len(prompt) + len(tokens)} tokens of {self._max_tokens}")
        output = await self._generate([*prompt, *tokens], {"max_tokens": 1, "prompt_logprobs": 0})
        scored = output.extra_fields.get("prompt_logprobs")
        if scored is None:
            return Missing("probe_failed", "the rollout engine returns no prompt_logprobs")
        # entry i is that of token i + 1: the first token of a prompt has none
        return sum(entry[0] for entry in scored[len(prompt) - 1 :][: len(tokens)]) / len(tokens)

    async def _generate(self, prompt: list[int], params: dict[str, Any]) -> Any:
        request_id = f"{self._request_id}-probe-{next(self._number)}" if self._own_ids else self._request_id
        start = time.perf_counter()
        output = await self._server_manager.generate(
            request_id=request_id, prompt_ids=prompt, sampling_params={**AS_IT_IS, **params}
        )
        self._count(output, len(prompt), time.perf_counter() - start)
        return output

    def _count(self, output: Any, num_prompt_tokens: int, seconds: float) -> None:
        use, fields = self._use, output.extra_fields
        use.num_calls += 1
        use.new_tokens += len(output.token_ids)
        use.seconds += seconds
        if fields.get("num_cached_tokens") is not None:
            use.prompt_tokens += num_prompt_tokens
            use.cached_tokens += fields["num_cached_tokens"]
        if fields.get("global_steps") is not None:
            use.versions.add(fields["global_steps"])

    def _answer(self, output: Any) -> AnswerSample:
        text = self._tokenizer.decode(output.token_ids, skip_special_tokens=True)
        return answer_of(text, self._options.stop, output.log_probs)
