"""An agent loop's output whose reward tensor carries gains beside the outcome."""

from collections.abc import Iterable
from typing import Any

import torch
from verl.experimental.agent_loop.agent_loop import AgentLoopOutput

from gainful.errors import ConfigError

__all__ = ["InfoGainOutput", "ending_with_the_policy"]


class InfoGainOutput(AgentLoopOutput):
    """verl's output, and what to add to the rewards of single tokens; the row's sum stays the outcome."""

    carried: tuple[tuple[int, float], ...] = ()
    """Token and value, from `gainful.carry`."""

    def as_dict(self) -> dict[str, Any]:
        """Called by verl's v1 trainers once the outcome is known."""
        fields = super().as_dict()
        carried = fields.pop("carried", [])
        if carried and "rm_scores" not in fields:
            raise ConfigError(
                "gainful: gains ride on the rewards of tokens, and this row has no reward yet; let the reward be "
                "computed while responses arrive: no reward.reward_model, or one with enable_resource_pool=true"
            )
        for token, value in carried:
            fields["rm_scores"][token] += torch.tensor(value)
        return fields


def ending_with_the_policy(output: AgentLoopOutput, carried: Iterable[tuple[int, float]] = ()) -> InfoGainOutput:
    """The same output, cut after the last token that the policy wrote; one without any stays as it is."""
    end = max((place for place, own in enumerate(output.response_mask, 1) if own), default=len(output.response_mask))
    fields = {name: getattr(output, name) for name in output.model_fields_set}
    for name in ("response_ids", "response_mask", "response_logprobs"):
        if fields.get(name) is not None:
            fields[name] = fields[name][:end]
    return InfoGainOutput(**fields, carried=tuple(carried))
