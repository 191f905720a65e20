"""Retrieval for policies in training: BM25 in this process, or a server with the schema of Search-R1.

Nothing heavy is imported here: bm25s and aiohttp come with the extra `retrieval`, when they are first used. A search
that failed is a `RetrievalFailed`, never an empty list.

Source: the server schema and the form of shown documents are PeterGriffinJin/Search-R1's.
"""

from gainful.retrieval.config import RetrieverOptions
from gainful.retrieval.make import make_retriever
from gainful.retrieval.types import Doc, RetrievalFailed, Retrieved, Retriever, render

__all__ = ["Doc", "RetrievalFailed", "Retrieved", "Retriever", "RetrieverOptions", "make_retriever", "render"]
