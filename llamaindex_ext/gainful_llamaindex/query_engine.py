"""`BudgetedSearchQueryEngine`: the controller's search as a LlamaIndex query engine."""

from collections.abc import Mapping
from typing import Any, Literal

from llama_index.core.base.base_query_engine import BaseQueryEngine
from llama_index.core.base.response.schema import Response
from llama_index.core.callbacks import CallbackManager
from llama_index.core.prompts.mixin import PromptDictType, PromptMixinType
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from gainful.budget import Budget, Cost, Ledger, Refusal
from gainful.budget.actions import Action, Fallback, Observation, Search
from gainful.budget.report import BudgetReport
from gainful.budget.state import SearchState
from gainful_llamaindex.building import make_searcher
from gainful_llamaindex.run_state import clock, current_run
from gainful_llamaindex.searcher import Searcher
from gainful_llamaindex.spans import budget_decision
from gainful_llamaindex.sync import run_sync
from gainful_llamaindex.telling import exceeded

__all__ = ["BudgetedSearchQueryEngine"]


class BudgetedSearchQueryEngine(BaseQueryEngine):
    """Answers each query with its own budget. One object serves any number of queries at once.

    As a tool of a guarded agent, with `parent="inherit"`, its model calls are paid from the agent's account as well.
    Then a call that the agent cannot pay is not made, and the engine answers from what it has.
    """

    def __init__(
        self,
        searcher: Searcher,
        *,
        parent: Literal["own", "inherit"] = "own",
        callback_manager: CallbackManager | None = None,
    ) -> None:
        super().__init__(callback_manager or getattr(searcher.llm, "callback_manager", None))
        self.searcher, self.parent = searcher, parent

    @classmethod
    def from_defaults(
        cls,
        *,
        budget: Budget | str | Mapping[str, Any] = "2/300",
        parent: Literal["own", "inherit"] = "own",
        callback_manager: CallbackManager | None = None,
        **options: Any,
    ) -> "BudgetedSearchQueryEngine":
        """An engine over an index, retrievers, nodes or documents.

        Args:
            budget: Of each query: `"2/300"` (searches / output tokens), a level such as `"high_mid"`, or a `Budget`.
            parent: `"inherit"` charges model calls to the guarded agent whose tool this engine is, too.
            callback_manager: None takes the model's.
            options: Of `make_searcher`: `index`, `retriever`, `nodes` or `documents`; `llm`, `k`, `prompts`,
                `token_cap`, `prices`, `config`, `value_model`, `cost_model`, `finalizer`.

        Raises:
            ConfigError: Not exactly one source, or an impossible budget.
            UnsupportedLLMError: We cannot cap the output of the model.
        """
        return cls(make_searcher(budget, **options), parent=parent, callback_manager=callback_manager)

    def _query(self, query_bundle: QueryBundle) -> Response:
        return run_sync(self._aquery(query_bundle))

    async def _aquery(self, query_bundle: QueryBundle) -> Response:
        """Run the controller's loop.

        Raises:
            NoLedgerError: The engine inherits, and no guarded agent is calling it.
            BudgetExceededError: The budget is spent and says to raise.
        """
        parent = (await current_run())[1].accounts if self.parent == "inherit" else None
        controller = self.searcher.controller
        state = self.searcher.start(query_bundle.query_str, self.searcher.budget)
        while not state.done:
            decision = budget_decision(controller, state, clock())
            action = controller.begin(state, decision, clock())
            seen = Observation(outcome="cancelled")
            try:
                seen = await self._act(state, action, parent)
            finally:
                controller.observe(state, action, seen, clock())
        report = controller.finish(state, clock())
        error = exceeded(report, state.ledger.budget)
        if error is not None:
            raise error
        return _response(report)

    async def _act(self, state: SearchState, action: Action, parent: Ledger | None) -> Observation:
        if isinstance(action, Fallback):
            return Observation()
        if isinstance(action, Search):
            return await self.searcher.search(action)
        if parent is None:
            return await self.searcher.ask(state, action)
        now = clock()
        cost = Cost(
            llm_calls=1,
            output_tokens=action.caps.max_output_tokens or 0,
            input_tokens=action.caps.max_input_tokens or 0,
        )
        held = parent.reserve(cost, "inherited", now)
        if isinstance(held, Refusal):
            return Observation(outcome="refused", started=False)
        seen = Observation(outcome="cancelled")
        try:
            seen = await self.searcher.ask(state, action)
        finally:
            if seen.started:
                parent.settle(held.id, seen.usage, clock())
            else:
                parent.release(held.id, clock())
        return seen

    def _get_prompts(self) -> PromptDictType:
        return dict(self.searcher.prompts)

    def _update_prompts(self, prompts: PromptDictType) -> None:
        self.searcher.update_prompts(prompts)

    def _get_prompt_modules(self) -> PromptMixinType:
        return {}


def _response(report: BudgetReport) -> Response:
    """Text, the evidence as source nodes with the cited ones first, and report and trace as plain data."""
    ordered = sorted(report.evidence, key=lambda passage: passage.id not in report.citations)
    nodes = [
        NodeWithScore(
            node=TextNode(id_=passage.id, text=passage.text, metadata=_metadata(passage)), score=passage.score
        )
        for passage in ordered
    ]
    trace = [record.model_dump(mode="json", by_alias=True) for record in report.trace.records]
    budget = report.model_dump(mode="json", exclude={"trace", "evidence"})
    return Response(response=report.answer, source_nodes=nodes, metadata={"budget": budget, "trace": trace})


def _metadata(passage: Any) -> dict[str, Any]:
    return {"title": passage.title} if passage.title else {}
