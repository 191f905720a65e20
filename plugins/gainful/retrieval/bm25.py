"""BM25 in this process, by the library bm25s."""

import asyncio
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gainful.errors import InputError, IntegrityError, MissingExtraError
from gainful.retrieval import index
from gainful.retrieval.config import RetrieverOptions
from gainful.retrieval.corpus import read_corpus
from gainful.retrieval.types import Doc, Retrieved, check_query

__all__ = ["Bm25Retriever"]

_WORD = r"(?u)[^\W_]+"
"""The library's own pattern loses words of one letter, and with them names."""


class Bm25Retriever:
    """Searches title and text of one corpus. Words are compared in lower case; of the frequent ones, 33 do not count.

    Scores are bm25s's, in Lucene's form; documents of one score come in the order of their ids, and those that share
    no word with the query do not come at all.
    """

    def __init__(self, options: RetrieverOptions) -> None:
        """Read the corpus and build its index, or read that from `options.index` if it is there.

        Raises:
            MissingExtraError: bm25s is not installed.
            InputError: The corpus cannot be used.
            IntegrityError: The saved index is damaged, or belongs to another corpus or to other options.
        """
        self._library = _library()
        self._topk = options.topk
        corpus = Path(str(options.corpus))
        self._entries = read_corpus(corpus)
        build = partial(self._build, options, corpus)
        self._index = index.load_or_build(Path(options.index), corpus, options, build) if options.index else build()
        if self._index.scores["num_docs"] != len(self._entries):
            raise IntegrityError(f"{options.index}: made of another number of entries than {corpus}; delete the folder")

    async def retrieve(self, queries: Sequence[str]) -> list[Retrieved]:
        """One result per query, computed in a thread so that the event loop goes on."""
        return await asyncio.to_thread(self.search, queries)

    def search(self, queries: Sequence[str], *, topk: int | None = None) -> list[Retrieved]:
        """`retrieve` without an event loop, and perhaps with another number of documents."""
        return [self._one(query, topk or self._topk) for query in queries]

    def _one(self, query: str, topk: int) -> Retrieved:
        if (failure := check_query(query)) is not None:
            return failure
        scores = self._index.get_scores_from_ids(self._index.get_tokens_ids(self._words([query])[0]))
        return [self._doc(place, scores) for place in best(scores, topk)]

    def _doc(self, place: int, scores: NDArray[np.float32]) -> Doc:
        entry = self._entries[place]
        return Doc(entry.id, entry.title, entry.text, float(scores[place]))

    def _build(self, options: RetrieverOptions, corpus: Path) -> Any:
        words = self._words([f"{entry.title} {entry.text}" for entry in self._entries])
        if not any(words):
            raise InputError(f"{corpus}: expected words in title or text, found none in {len(words)} entries")
        built = self._library.BM25(k1=options.k1, b=options.b)
        built.index(words, show_progress=False)
        return built

    def _words(self, texts: list[str]) -> list[list[str]]:
        split: list[list[str]] = self._library.tokenize(
            texts, token_pattern=_WORD, stopwords="en", return_ids=False, show_progress=False
        )
        return split


def best(scores: NDArray[np.float32], topk: int) -> list[int]:
    """Positions of the `topk` highest positive scores, highest first, equal ones in order of position.

    Args:
        scores: [N] float, finite.
        topk: >= 1.
    """
    found = np.flatnonzero(scores > 0)
    if len(found) > topk:
        floor = np.partition(scores[found], -topk)[-topk]
        found = found[scores[found] >= floor]
    order = np.argsort(-scores[found], kind="stable")[:topk]
    places: list[int] = found[order].tolist()
    return places


def _library() -> Any:
    try:
        return import_module("bm25s")
    except ImportError as error:
        raise MissingExtraError("retriever 'bm25' needs bm25s; pip install 'gainful[retrieval]'") from error
