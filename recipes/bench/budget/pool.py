"""BM25 over one pool, each query searched once."""

from collections.abc import Sequence

from data import Passage
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from llama_index.retrievers.bm25 import BM25Retriever

DEEPEST = 50
"""Passages that are kept of every query; nobody may ask for more."""


class Pool:
    """An index, and what it returned so far. Asked for k passages it gives the first k of one ranking."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        self.by_id = {passage.id: passage for passage in passages}
        nodes = [TextNode(id_=name, text=_indexed(passage)) for name, passage in self.by_id.items()]
        self._bm25 = BM25Retriever.from_defaults(nodes=nodes, similarity_top_k=min(DEEPEST, len(nodes)))
        self._cache: dict[str, list[tuple[str, float]]] = {}

    def search(self, query: str, k: int) -> list[tuple[Passage, float]]:
        """The k best passages with their scores."""
        if k > DEEPEST:
            raise ValueError(f"pool: k must be at most {DEEPEST}, got {k}")
        if query not in self._cache:
            found = self._bm25.retrieve(query) if query.strip() else []
            self._cache[query] = [(node.node.node_id, float(node.score or 0)) for node in found]
        return [(self.by_id[name], score) for name, score in self._cache[query][:k]]


class PoolRetriever(BaseRetriever):
    """The pool as LlamaIndex sees it. Every call is logged as (query, k): the auditor counts from this log."""

    def __init__(self, pool: Pool, k: int) -> None:
        super().__init__()
        self.pool, self.k = pool, k
        self.log: list[tuple[str, int]] = []

    def passages(self, query: str, k: int | None = None) -> list[Passage]:
        """One search; k is the retriever's own if it is None."""
        return [passage for passage, _ in self._search(query, k or self.k)]

    def _search(self, query: str, k: int) -> list[tuple[Passage, float]]:
        self.log.append((query, k))
        return self.pool.search(query, k)

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        found = self._search(query_bundle.query_str, self.k)
        return [NodeWithScore(node=_node(passage), score=score) for passage, score in found]


def _node(passage: Passage) -> TextNode:
    return TextNode(id_=passage.id, text=passage.text, metadata={"title": passage.title})


def _indexed(passage: Passage) -> str:
    return f"{passage.title} {passage.text}"
