"""A retrieval server with the schema of Search-R1: POST /retrieve."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from gainful.endpoint import CallFailedError, Endpoint
from gainful.retrieval.config import RetrieverOptions
from gainful.retrieval.types import Doc, RetrievalFailed, Retrieved, check_query

__all__ = ["PATH", "SearchR1Client"]

PATH = "/retrieve"
_MAX_CALLS = 32
"""Under way at once (ours); further ones wait."""


class _Document(BaseModel):
    """A document of a reply: title and text apart, or the first line of `contents` and the rest of it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: Annotated[str | int, Field(union_mode="left_to_right")] = ""
    contents: Annotated[str | None, Field(max_length=100_000)] = None
    title: Annotated[str, Field(max_length=100_000)] = ""
    text: Annotated[str | None, Field(max_length=100_000)] = None

    @model_validator(mode="after")
    def _says_something(self) -> "_Document":
        if self.contents is None and self.text is None:
            raise ValueError("a document must have 'contents' or 'text'")
        return self

    def as_doc(self, score: float | None) -> Doc:
        title, text = self.title, self.text
        if text is None:
            title, _, text = str(self.contents).partition("\n")
        return Doc(str(self.id), title.strip().strip('"'), text.strip(), score)


class _Hit(BaseModel):
    """A document with its score."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    document: _Document
    score: float


class SearchR1Client:
    """Asks a server, whose documents may come with a score or bare. Two tries, no redirects, bounded replies."""

    def __init__(self, options: RetrieverOptions) -> None:
        """Check the address; the server is not asked yet.

        Raises:
            ConfigError: The address is no http or https one, or holds credentials.
        """
        url = str(options.url).rstrip("/").removesuffix(PATH)
        self._endpoint = Endpoint(url, api_key_env=None, timeout_s=options.timeout_s, where="retriever.url")
        self._topk = options.topk
        self._calls = ThreadPoolExecutor(_MAX_CALLS, thread_name_prefix="gainful-retrieval")

    async def retrieve(self, queries: Sequence[str]) -> list[Retrieved]:
        """One result per query. The good queries go out in one call and fail together."""
        refused = [check_query(query) for query in queries]
        good = [query for query, failure in zip(queries, refused, strict=True) if failure is None]
        loop = asyncio.get_running_loop()
        found = iter(await loop.run_in_executor(self._calls, self._ask, good) if good else ())
        return [next(found) if failure is None else failure for failure in refused]

    def _ask(self, queries: list[str]) -> Sequence[Retrieved]:
        body = {"queries": queries, "topk": self._topk, "return_scores": True}
        try:
            return _parsed(self._endpoint.post(PATH, body), len(queries), self._topk)
        except CallFailedError as error:
            failure = RetrievalFailed("timeout" if error.timed_out else "call_failed", str(error))
        except ValidationError as error:
            problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
            where = ".".join(map(str, problem["loc"][:4]))
            failure = RetrievalFailed("bad_reply", f"{where}: {problem['msg'][:200]}")
        except _BadReplyError as error:
            failure = RetrievalFailed("bad_reply", str(error))
        return [failure] * len(queries)


class _BadReplyError(Exception):
    """The reply is JSON of another form."""


def _parsed(reply: dict[str, Any], num_queries: int, topk: int) -> list[Retrieved]:
    results = reply.get("result")
    if not isinstance(results, list) or len(results) != num_queries:
        raise _BadReplyError(f"'result' must be a list of {num_queries}")
    if any(not isinstance(hits, list) or len(hits) > topk for hits in results):
        raise _BadReplyError(f"every entry of 'result' must be a list of at most {topk}")
    return [[_doc(hit) for hit in hits] for hits in results]


def _doc(hit: Any) -> Doc:
    if isinstance(hit, dict) and "document" in hit:
        scored = _Hit.model_validate(hit)
        return scored.document.as_doc(scored.score)
    return _Document.model_validate(hit).as_doc(None)
