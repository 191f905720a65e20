"""What the adapters rely on in LlamaIndex and its workflows. Read this first when a new version breaks something."""

import inspect

import pytest
from llama_index.core.agent.react.types import ActionReasoningStep, ResponseReasoningStep
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent, ReActAgent
from llama_index.core.agent.workflow.base_agent import DEFAULT_MAX_ITERATIONS, BaseWorkflowAgent
from llama_index.core.agent.workflow.workflow_events import AgentOutput, AgentWorkflowStartEvent, ToolCallResult
from llama_index.core.base.base_query_engine import BaseQueryEngine
from llama_index.core.base.llms.types import ToolCallBlock
from llama_index.core.callbacks.token_counting import get_tokens_from_response
from llama_index.core.tools import FunctionTool, ToolOutput, ToolSelection
from llama_index.core.workflow import Context
from llama_index.core.workflow.errors import WorkflowRuntimeError
from llama_index.llms.openai import OpenAI


def parameters(function):
    return list(inspect.signature(function).parameters)


@pytest.mark.parametrize("agent", [FunctionAgent, ReActAgent, BaseWorkflowAgent])
def test_an_agent_is_called_in_three_places_with_these_arguments(agent):
    assert parameters(agent.take_step) == ["self", "ctx", "llm_input", "tools", "memory"]
    assert parameters(agent.handle_tool_call_results) == ["self", "ctx", "results", "memory"]
    assert parameters(agent.finalize) == ["self", "ctx", "output", "memory"]


def test_both_loops_keep_their_counters_under_these_names():
    for loop in (BaseWorkflowAgent, AgentWorkflow):
        source = inspect.getsource(loop)
        for key in ('"num_iterations"', '"max_iterations"', '"memory"', '"user_msg_str"'):
            assert key in source, (loop, key)
    assert DEFAULT_MAX_ITERATIONS == 20


def test_the_loop_of_a_workflow_calls_its_agents_and_overrides_nothing_else():
    source = inspect.getsource(AgentWorkflow)
    for call in ("agent.take_step(", "agent.handle_tool_call_results(", "agent.finalize("):
        assert call in source


def test_outputs_and_results_have_these_fields():
    assert {"response", "tool_calls", "raw", "current_agent_name", "retry_messages"} <= set(AgentOutput.model_fields)
    assert AgentOutput.model_fields["raw"].exclude is True
    assert {"tool_id", "tool_name", "tool_kwargs", "tool_output", "return_direct"} <= set(ToolCallResult.model_fields)
    assert {"tool_id", "tool_name", "tool_kwargs"} == set(ToolSelection.model_fields)
    assert {"tool_name", "content", "raw_input", "raw_output", "is_error"} <= set(parameters(ToolOutput.__init__))
    assert {"tool_call_id", "tool_name", "tool_kwargs"} <= set(ToolCallBlock.model_fields)


def test_agents_keep_unfinished_turns_under_these_fields():
    assert FunctionAgent.model_fields["scratchpad_key"].default == "scratchpad"
    assert FunctionAgent.model_fields["initial_tool_choice"].default is None
    assert ReActAgent.model_fields["reasoning_key"].default == "current_reasoning"
    assert ActionReasoningStep(thought="", action="a", action_input={}).is_done is False
    assert ResponseReasoningStep(thought="", response="a", is_streaming=False).is_done is True


def test_a_step_finds_its_context_and_code_outside_a_step_does_not():
    with pytest.raises(WorkflowRuntimeError):
        Context.get_step_context()


def test_function_tools_that_want_a_context_say_so():
    def tool(ctx: Context, query: str) -> str:
        """Search."""
        return query

    made = FunctionTool.from_defaults(tool)
    assert made.requires_context
    assert made.ctx_param_name == "ctx"


def test_a_copied_model_keeps_its_client_and_carries_the_new_cap():
    llm = OpenAI(model="gpt-4o-mini", api_key="none", max_tokens=200)
    copy = llm.model_copy(update={"max_tokens": 10})
    assert copy._get_model_kwargs()["max_tokens"] == 10
    assert copy._get_model_kwargs(max_tokens=50)["max_tokens"] == 10  # a keyword loses against the field
    assert llm._get_model_kwargs()["max_tokens"] == 200


def test_a_model_makes_its_client_at_the_first_call_and_keeps_it_under_this_name():
    llm = OpenAI(model="gpt-4o-mini", api_key="none")
    assert llm.reuse_client
    assert llm._aclient is None
    assert llm._get_aclient() is llm._aclient is llm._get_aclient()


def test_the_token_counter_reads_raw_usage():
    class Response:
        additional_kwargs: dict = {}  # noqa: RUF012
        raw = {"usage": {"prompt_tokens": 7, "completion_tokens": 5}}  # noqa: RUF012

    assert get_tokens_from_response(Response()) == (7, 5)


def test_a_start_event_serialises_with_these_three_fields():
    event = AgentWorkflowStartEvent(user_msg="q", chat_history=[], max_iterations=5)
    assert event.model_dump()["user_msg"] == "q"


def test_a_query_engine_is_two_methods_and_a_prompt_table():
    assert BaseQueryEngine.__abstractmethods__ >= {"_query", "_aquery"}
