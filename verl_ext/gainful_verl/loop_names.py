"""Names of our agent loops, apart from the loops, whose import is not free."""

__all__ = ["INFO_GAIN_LOOP"]

INFO_GAIN_LOOP = "info_gain_tool_agent"
"""What users write in `actor_rollout_ref.rollout.agent.default_agent_loop`, or in the data's column `agent_name`."""
