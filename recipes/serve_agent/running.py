"""One run of an agent for one user. Whatever ends it, there is a report of what it took."""

import asyncio
from typing import Any, Protocol

from llama_index.core.workflow import Context

from gainful.budget import Budget, BudgetReport
from gainful_llamaindex import BudgetExceededError, close_run
from gainful_llamaindex.run_state import BUDGET_KEY

__all__ = ["AgentRunner", "RunFailedError", "Runner"]


class RunFailedError(Exception):
    """A run gave no answer.

    Attributes:
        report: What it took all the same; None if it never began.
        status: Of the HTTP answer.
    """

    def __init__(self, why: str, report: BudgetReport | None, status: int) -> None:
        super().__init__(why)
        self.report, self.status = report, status


class Runner(Protocol):
    """What the service calls for each request, many at once."""

    async def run(self, question: str, budget: Budget) -> BudgetReport:
        """Answer within `budget`.

        Raises:
            RunFailedError: There is no answer. Cancelled, too, it ends with this, once nothing of it runs any more.
        """


class AgentRunner:
    """One guarded or searching agent for all users: each run has a context, a ledger and a budget of its own."""

    def __init__(self, agent: Any) -> None:
        self._agent = agent

    async def run(self, question: str, budget: Budget) -> BudgetReport:
        """As of `Runner`."""
        ctx = Context(self._agent)
        await ctx.store.set(BUDGET_KEY, budget)
        handler = self._agent.run(question, ctx=ctx)
        result = asyncio.ensure_future(_result(handler))
        try:
            # shielded: a handler that is cancelled itself forgets its run, which then goes on unseen
            output = await asyncio.shield(result)
        except BudgetExceededError as error:
            raise RunFailedError(str(error), error.report, 409) from error
        except asyncio.CancelledError:
            await handler.cancel_run()
            await asyncio.gather(result, return_exceptions=True)
            raise RunFailedError("cancelled", await close_run(self._agent, ctx), 503) from None
        except Exception as error:  # of a client, a server or a tool: we cannot know which classes there are
            why = f"the agent failed: {type(error).__name__}"  # its text may hold what the user asked
            raise RunFailedError(why, await close_run(self._agent, ctx), 502) from error
        report: BudgetReport = output.report
        return report


async def _result(handler: Any) -> Any:
    return await handler
