"""From what a LlamaIndex user has at hand to a searcher."""

from collections.abc import Mapping, Sequence
from typing import Any

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.indices.base import BaseIndex
from llama_index.core.llms import LLM
from llama_index.core.prompts import BasePromptTemplate
from llama_index.core.schema import BaseNode, Document
from llama_index.core.settings import Settings

from gainful.budget import Budget, ControllerConfig, PriceTable
from gainful.budget.controller import Controller
from gainful.errors import ConfigError, MissingExtraError
from gainful_llamaindex.searcher import Searcher
from gainful_llamaindex.token_caps import TokenCap, check_llm
from gainful_llamaindex.versions import warn_of_known_problems

__all__ = ["make_searcher"]


def make_searcher(
    budget: Budget | str | Mapping[str, Any],
    *,
    index: BaseIndex[Any] | None = None,
    retriever: BaseRetriever | Mapping[str, BaseRetriever] | None = None,
    nodes: Sequence[BaseNode] | None = None,
    documents: Sequence[Document] | None = None,
    llm: LLM | None = None,
    k: int | None = None,
    prompts: Mapping[str, BasePromptTemplate] | None = None,
    token_cap: TokenCap | None = None,
    prices: PriceTable | None = None,
    config: ControllerConfig | None = None,
    **models: Any,
) -> Searcher:
    """Read the arguments that agent and query engine share.

    Args:
        budget: Limits of one run: `"2/300"` (searches / output tokens), a level such as `"high_mid"`, or a `Budget`.
        index: Searched through its own retriever.
        retriever: One, or several by name; each of several is a tool `search_<name>` that may have its own limit.
        nodes: Searched by the embedded BM25.
        documents: Cut into nodes by `Settings`, then as `nodes`.
        llm: None takes `Settings.llm`.
        k: Passages a search; None takes the config's.
        prompts: Replacements by key: propose_prompt, answer_prompt, critic_prompt.
        token_cap: For a model that we do not know, as in `guard`.
        prices: Needed for a limit on money.
        config: Constants of the controller.
        models: `value_model`, `cost_model` and `finalizer` of the controller.

    Raises:
        ConfigError: Not exactly one source, or an impossible option.
        MissingExtraError: Nodes or documents without the BM25 retriever installed.
        UnsupportedLLMError: We cannot cap the output of the model.
    """
    warn_of_known_problems()
    config = config or ControllerConfig()
    config = config if k is None else ControllerConfig(**{**config.model_dump(), "passages_per_search": k})
    number = config.passages_per_search
    given = {"index": index, "retriever": retriever, "nodes": nodes, "documents": documents}
    named = [name for name, value in given.items() if value is not None]
    if len(named) != 1:
        raise ConfigError(
            f"expected exactly one of index, retriever, nodes, documents, got {', '.join(named) or 'none'}"
        )
    llm = llm or Settings.llm
    check_llm(llm, token_cap)
    searcher = Searcher(
        controller=Controller(config=config, prices=prices, **models),
        budget=Budget.parse(budget),
        llm=llm,
        retrievers=_retrievers(index, retriever, nodes, documents, number),
        token_cap=token_cap,
    )
    searcher.update_prompts(prompts or {})
    searcher.controller.start("probe", searcher.budget, 0.0)  # impossible combinations are refused here
    return searcher


def _retrievers(index: Any, retriever: Any, nodes: Any, documents: Any, k: int) -> dict[str, BaseRetriever]:
    if isinstance(retriever, Mapping):
        return {f"search_{name}": one for name, one in retriever.items()}
    if retriever is None:
        retriever = index.as_retriever(similarity_top_k=k) if index is not None else _bm25(nodes, documents, k)
    return {"search": retriever}


def _bm25(nodes: Sequence[BaseNode] | None, documents: Sequence[Document] | None, k: int) -> BaseRetriever:
    try:
        from llama_index.retrievers.bm25 import BM25Retriever
    except ImportError as error:
        raise MissingExtraError(
            "nodes and documents need the BM25 retriever; pip install 'gainful[llamaindex]', or pass retriever="
        ) from error
    nodes = nodes if nodes is not None else Settings.node_parser.get_nodes_from_documents(list(documents or ()))
    if not nodes:
        raise ConfigError("expected at least one node or document to search, got none")
    return BM25Retriever.from_defaults(nodes=list(nodes), similarity_top_k=min(k, len(nodes)))
