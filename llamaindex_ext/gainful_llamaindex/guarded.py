"""What a guarded agent does in the three places where LlamaIndex calls an agent. The host's loop is left alone."""

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from llama_index.core.agent.workflow.workflow_events import AgentOutput, ToolCallResult
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.memory import BaseMemory
from llama_index.core.tools import AsyncBaseTool

from gainful.budget import Budget, ControllerConfig, Ledger, Refusal
from gainful.budget.axes import INPUT_TOKENS, MONEY, SECONDS
from gainful.budget.fallback import fallback_text
from gainful.budget.host_loop import TOOL, Step, next_step
from gainful_llamaindex.adapt import input_tokens_of, question_of, usage_of
from gainful_llamaindex.admission import admit
from gainful_llamaindex.events import BudgetedAgentOutput
from gainful_llamaindex.last_words import keep_turn
from gainful_llamaindex.run_state import clock, open_run, save_run
from gainful_llamaindex.runs import GuardRun
from gainful_llamaindex.sealed import unseal
from gainful_llamaindex.telling import note_charge, report_of, tell_charges, tell_exhausted
from gainful_llamaindex.token_caps import capped, own_cap
from gainful_llamaindex.tools import NOTICE

if TYPE_CHECKING:
    from gainful_llamaindex.guards import GuardSettings

__all__ = ["Guarded"]

_MARGIN = ControllerConfig().input_margin
_CHOICES = frozenset({"any", "auto", "none", "required"})  # words of providers; other choices are names of tools


class Guarded:
    """Mixed in before the class of the agent that is guarded; `guard_settings` comes with the class."""

    guard_settings: "staticmethod[[], GuardSettings]"

    async def take_step(
        self, ctx: Any, llm_input: list[ChatMessage], tools: Sequence[AsyncBaseTool], memory: BaseMemory
    ) -> AgentOutput:
        """One step of the host's loop: reserve, call on a capped copy, settle. Always a plain `AgentOutput`.

        Called by the host, one step at a time within a run.

        Raises:
            NoLedgerError: `ctx` has no store.
            BudgetExceededError: The budget is spent and says to raise.
        """
        settings = self.guard_settings()
        run = await open_run(ctx, settings.key, llm_input, settings.budget, self._starter(llm_input))
        run.handing_off = False
        tell_charges(ctx, run)  # of the tools
        offered = [tool for tool in tools if tool.metadata.name != NOTICE]
        step = self._plan(run, llm_input, offered)
        if not step.final:
            some = [tool for tool in offered if tool.metadata.name in step.tools]
            output = await self._call(ctx, run, step, llm_input, some, memory)
            if output is not None:
                calls = admit(run, settings, output.tool_calls, output.response, _names(offered))
                await save_run(ctx, settings.key, run)
                return output.model_copy(update={"tool_calls": calls})
            step = self._plan(run, llm_input, offered)  # time ran out in that step; what is left is the answer's
        return await self._last_step(ctx, run, step, llm_input, memory)

    async def handle_tool_call_results(self, ctx: Any, results: list[ToolCallResult], memory: BaseMemory) -> None:
        """Charge the calls of a batch. Called by the host once all of them are back."""
        settings = self.guard_settings()
        run: GuardRun = await ctx.store.get(settings.key)
        for result in results:
            said = result.tool_output
            charge = run.settle_tool(result.tool_id, said.content, clock(), failed=said.is_error)
            query = f"{result.tool_name} {json.dumps(result.tool_kwargs, default=str)}"
            began = run.begun.pop(result.tool_id, 0.0)
            note_charge(run, TOOL, charge, began=began, tool=result.tool_name, query=query)
            run.handing_off = run.handing_off or result.tool_name == "handoff"
        await save_run(ctx, settings.key, run)
        await super().handle_tool_call_results(ctx, results, memory)  # type: ignore[misc]

    async def finalize(self, ctx: Any, output: AgentOutput, memory: BaseMemory) -> AgentOutput:
        """Attach the report. Called by the host when a run ends, and before a handoff, which ends nothing."""
        output = await super().finalize(ctx, output, memory)  # type: ignore[misc]
        settings = self.guard_settings()
        run: GuardRun = await ctx.store.get(settings.key)
        tell_charges(ctx, run)
        if run.handing_off:
            return output
        run.close(clock())
        run.done = True
        await save_run(ctx, settings.key, run)
        fields = {name: getattr(output, name) for name in AgentOutput.model_fields}
        return BudgetedAgentOutput(**fields, report=report_of(run, output.response.content or ""))

    def _starter(self, messages: Sequence[ChatMessage]) -> Callable[[Budget, int, dict[str, Any]], GuardRun]:
        def start(budget: Budget, host_steps: int, mark: dict[str, Any]) -> GuardRun:
            ledger = Ledger(budget, now=clock(), prices=self.guard_settings().prices, host_steps=host_steps)
            return GuardRun(ledger=ledger, run_id=mark["seen"], question=question_of(messages), **mark)

        return start

    def _plan(self, run: GuardRun, messages: Sequence[ChatMessage], tools: Sequence[AsyncBaseTool]) -> Step:
        settings, llm = self.guard_settings(), self.llm  # type: ignore[attr-defined]
        estimated = {INPUT_TOKENS, MONEY} & set(run.ledger.limits)
        return next_step(
            run.ledger,
            clock(),
            tools=_names(tools),
            free=settings.free_tools,
            own_cap=own_cap(llm, settings.token_cap),
            input_tokens=input_tokens_of(messages, tools, _MARGIN) if estimated else 0,
        )

    async def _last_step(
        self, ctx: Any, run: GuardRun, step: Step, messages: list[ChatMessage], memory: BaseMemory
    ) -> AgentOutput:
        """The answer: from the model without tools, or without a model if that cannot be paid or says nothing."""
        settings = self.guard_settings()
        output = None
        if step.why:
            await tell_exhausted(ctx, run, settings, step.why)
        if step.cost is not None:
            notice = [ChatMessage(role="user", content=settings.notice)] if settings.notice and step.why else []
            output = await self._call(ctx, run, step, [*messages, *notice], [], memory)
        if output is not None and output.response.content and not (output.tool_calls or output.retry_messages):
            return output
        run.without_model, text = True, fallback_text(run.evidence)
        await keep_turn(self, ctx, text)
        answer = ChatMessage(role="assistant", content=text)
        return AgentOutput(response=answer, current_agent_name=self.name)  # type: ignore[attr-defined]

    async def _call(
        self, ctx: Any, run: GuardRun, step: Step, messages: list[ChatMessage], tools: list[Any], memory: BaseMemory
    ) -> AgentOutput | None:
        """The host's own step on a copy of the agent with a capped model; None if time ran out before or in it."""
        settings, llm = self.guard_settings(), unseal(self.llm)  # type: ignore[attr-defined]
        reservation = run.ledger.reserve(step.cost, step.purpose, step.at)
        if isinstance(reservation, Refusal):
            return None
        began = run.ledger.read_clock(step.at)
        await save_run(ctx, settings.key, run)
        llm = llm if step.cap is None else capped(llm, step.cap, settings.token_cap)
        update = {"llm": settings.clients.lend(llm)}
        twin = self.model_copy(update=update | _unforced(self, tools))  # type: ignore[attr-defined]
        seconds = step.cost.seconds if SECONDS in run.ledger.limits else None
        output = None
        rest = None if seconds is None else seconds - (clock() - step.at)  # what came before the call took time, too
        try:
            output = await asyncio.wait_for(super(Guarded, twin).take_step(ctx, messages, tools, memory), rest)
        except asyncio.TimeoutError:
            if seconds is None or clock() - step.at < seconds:
                raise  # the model's own, not ours
        except Exception:
            run.done = True  # the host ends the run; the next turn starts afresh
            raise
        finally:
            usage = None if output is None else usage_of(output.raw, said_something=_says_something(output))
            charge = run.ledger.settle(reservation.id, usage, clock())
            note_charge(run, step.purpose, charge, began=began)
            tell_charges(ctx, run)
        return output


def _names(tools: Sequence[AsyncBaseTool]) -> list[str]:
    return [tool.metadata.get_name() for tool in tools]


def _unforced(agent: Any, tools: list[Any]) -> dict[str, Any]:
    """A forced choice of a tool that is not offered makes a provider refuse the call."""
    forced = getattr(agent, "initial_tool_choice", None)
    possible = forced in _names(tools) or (tools and forced in _CHOICES)
    return {} if forced is None or possible else {"initial_tool_choice": None}


def _says_something(output: AgentOutput) -> bool:
    return bool(output.response.content or output.tool_calls)
