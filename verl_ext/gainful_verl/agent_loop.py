"""verl's tool agent, which asks between turns what the policy believes. Its name is `info_gain_tool_agent`.

Registered when verl imports its own loops. Options stand under `algorithm.gainful`. With the estimator `info_gain` its
output carries one gain per search turn; with any other it is verl's loop and nothing more.
"""

from typing import Any

from verl.experimental.agent_loop.agent_loop import AgentLoopOutput, register
from verl.experimental.agent_loop.tool_agent_loop import AgentData, AgentState, ToolAgentLoop
from verl.utils.tokenizer import normalize_token_ids
from verl.utils.tokenizer.chat_template import apply_chat_template

from gainful.errors import ConfigError
from gainful_verl.gain_output import ending_with_the_policy
from gainful_verl.loop_names import INFO_GAIN_LOOP
from gainful_verl.loop_runtime import Runtime
from gainful_verl.rows import asked, is_training
from gainful_verl.trajectory import Trajectory

__all__ = ["InfoGainToolLoop"]


@register(INFO_GAIN_LOOP)
class InfoGainToolLoop(ToolAgentLoop):
    """verl makes one for each trajectory."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """As verl's loop.

        Raises:
            ConfigError: An option is impossible, or the trainer would lose the gains.
        """
        super().__init__(*args, **kwargs)
        self._runtime = Runtime.of(self.config)
        self._trajectory: Trajectory | None = None
        if self._runtime.carries and not self.config.trainer.use_v1:
            raise ConfigError(
                "gainful: the older trainer adds up the rewards of a row, so its gains would be lost; set "
                "trainer.use_v1=true"
            )

    async def run(self, sampling_params: dict[str, Any], **row: Any) -> AgentLoopOutput:
        """Called by verl; the trajectory of its own loop, with gains beside."""
        if not self._runtime.carries or not is_training(row, sampling_params, self.rollout_config):
            return await super().run(sampling_params, **row)
        question = asked(row)
        self._trajectory = Trajectory(
            self._runtime, question, self.server_manager, self.tokenizer, self._render, str(row.get("session_id", ""))
        )
        with self._runtime.in_progress(question):
            try:
                output = ending_with_the_policy(await super().run(sampling_params, **row))
                output.carried = await self._trajectory.finish(output.response_mask)
                return output
            finally:
                self._trajectory.cancel()

    def _render(self, messages: list[dict[str, str]]) -> list[int]:
        if self.continuous_token_builder is not None:
            return list(self.continuous_token_builder.build_initial_tokens(messages))
        # data.continuous_token is off, where verl has that option
        options = {"tokenize": True, "add_generation_prompt": True, **self.apply_chat_template_kwargs}
        return normalize_token_ids(apply_chat_template(self.tokenizer, messages, **options))

    async def _handle_pending_state(self, agent_data: AgentData, sampling_params: dict[str, Any]) -> AgentState:
        state = await super()._handle_pending_state(agent_data, sampling_params)
        if self._trajectory:
            await self._trajectory.begin(agent_data)
        return state

    async def _call_tool(self, tool_call: Any, tools_kwargs: dict[str, Any], agent_data: AgentData) -> Any:
        response, reward, told = await super()._call_tool(tool_call, tools_kwargs, agent_data)
        if self._trajectory:
            failed = isinstance(told, dict) and bool(told.get("failed"))
            self._trajectory.heard(str(tool_call.arguments), response.text or "", failed=failed)
        return response, reward, told

    async def _handle_processing_tools_state(self, agent_data: AgentData) -> AgentState:
        state = await super()._handle_processing_tools_state(agent_data)
        if self._trajectory and state == AgentState.GENERATING:
            await self._trajectory.observe(agent_data)
        return state
