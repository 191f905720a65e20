"""One trajectory of verl's tool agent, as information gain sees it: which tokens are probed, and when."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from gainful.carry import carry, runs
from gainful.infogain.completions import CompletionsProbe, evidence_prompt
from gainful.infogain.records import Turn
from gainful.infogain.tally import ProbeUse
from gainful.infogain.tracker import Asked, BeliefTracker, Measured
from gainful.infogain.training_record import trajectory_record
from gainful_verl.loop_runtime import Runtime
from gainful_verl.policy_probe import PolicyProbe

__all__ = ["Trajectory"]


@dataclass
class Trajectory:
    """Made by the loop for a row that is measured; it hears of every state that concerns a belief."""

    runtime: Runtime
    asked: Asked
    server_manager: Any
    tokenizer: Any
    render: Callable[[list[dict[str, str]]], Sequence[int]]
    """Messages -> token ids, the model's turn begun."""
    rollout: str = ""
    """Tells the rollouts of a prompt apart."""
    _turns: list[Turn] = field(default_factory=list)
    _heard: list[tuple[str, str]] = field(default_factory=list)
    _failed_retrievals: int = 0
    _tracker: BeliefTracker[Any] | None = None
    _use: ProbeUse = field(default_factory=ProbeUse)

    async def begin(self, agent_data: Any) -> None:
        """The prompt is there: probe the belief before any evidence."""
        probe = self._probe(agent_data.request_id)
        self._tracker = BeliefTracker(probe, self.asked, self.runtime.options, self.runtime.services)
        prefix = await self._prefix(agent_data.prompt_ids)
        self._tracker.begin(prefix, str(prefix))

    def heard(self, query: str, text: str, *, failed: bool) -> None:
        """A tool answered: what it was asked, and what it said as the policy reads it."""
        self._heard.append((query, text))
        self._failed_retrievals += failed

    async def observe(self, agent_data: Any) -> None:
        """An observation is in the prompt: probe the belief that the policy will act on."""
        queries, texts = zip(*self._heard, strict=True) if self._heard else ((), ())
        self._turns.append(Turn(query="\n".join(queries), documents=texts))
        self._heard.clear()
        if self._tracker:
            prefix = await self._prefix(agent_data.prompt_ids)
            self._tracker.observe(prefix, len(agent_data.response_mask))

    async def finish(self, response_mask: Sequence[int]) -> tuple[tuple[int, float], ...]:
        """What to carry: token and value."""
        measured = await self._tracker.finish(response_mask) if self._tracker else Measured()
        self.runtime.record(self.asked, measured, self._use, failed_retrievals=self._failed_retrievals)
        if self.runtime.writes_texts:
            self.runtime.write_texts(trajectory_record(self.asked, measured, self._turns, rollout=self.rollout))
        return tuple(carry(runs(response_mask), measured.values)) if measured.values else ()

    def cancel(self) -> None:
        """The trajectory failed: nobody waits for its probes."""
        if self._tracker:
            self._tracker.cancel()

    def _probe(self, request_id: str) -> Any:
        options = self.runtime.options
        if options.probe.model == "endpoint":
            return CompletionsProbe(options)
        return PolicyProbe(
            self.server_manager,
            self.tokenizer,
            request_id,
            options.probe,
            self._use,
            max_tokens=self.runtime.max_tokens,
            own_ids=self.runtime.own_ids,
        )

    async def _prefix(self, prompt_ids: Sequence[int]) -> list[int] | str:
        """Token ids for the policy, text for another model."""
        probe = self.runtime.options.probe
        if probe.context == "history":
            return list(prompt_ids) if probe.model == "policy" else self.tokenizer.decode(prompt_ids)
        text = evidence_prompt(self.asked.question, [text for turn in self._turns for text in turn.documents])
        if probe.model == "endpoint":
            return text
        return list(await asyncio.to_thread(self.render, [{"role": "user", "content": text}]))
