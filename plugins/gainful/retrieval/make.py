"""The retriever that options ask for, one for the whole process."""

from threading import Lock

from gainful.retrieval.config import RetrieverOptions
from gainful.retrieval.types import Retriever

__all__ = ["make_retriever"]

_made: dict[RetrieverOptions, Retriever] = {}
_lock = Lock()


def make_retriever(options: RetrieverOptions) -> Retriever:
    """The retriever for these options; equal options share one, since hosts build their loops once per trajectory.

    Raises:
        ConfigError: The address cannot be used.
        MissingExtraError: The library is not installed.
        InputError: The corpus cannot be used.
        IntegrityError: The saved index is not what was written, or not for this corpus.
    """
    with _lock:
        if options not in _made:
            _made[options] = _build(options)
        return _made[options]


def _build(options: RetrieverOptions) -> Retriever:
    if options.type == "bm25":
        from gainful.retrieval.bm25 import Bm25Retriever

        return Bm25Retriever(options)
    from gainful.retrieval.search_r1 import SearchR1Client

    return SearchR1Client(options)
