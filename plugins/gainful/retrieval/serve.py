"""`Bm25Retriever` as a server on the loopback interface, with the schema that `SearchR1Client` speaks."""

import asyncio
from collections.abc import Callable
from importlib import import_module
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gainful.errors import InputError, MissingExtraError
from gainful.retrieval.bm25 import Bm25Retriever
from gainful.retrieval.config import MAX_TOPK
from gainful.retrieval.search_r1 import PATH
from gainful.retrieval.types import Doc, RetrievalFailed, Retrieved

__all__ = ["HOST", "RetrieveRequest", "application", "serve"]

HOST = "127.0.0.1"
MAX_REQUEST_BYTES = 2**20
MAX_QUERIES = 256


class RetrieveRequest(BaseModel):
    """The body of a POST to `/retrieve`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    queries: Annotated[list[str], Field(min_length=1, max_length=MAX_QUERIES)]
    topk: Annotated[int, Field(ge=1, le=MAX_TOPK)] | None = None
    """None: what the server was started with."""
    return_scores: bool = False


def answer(retriever: Bm25Retriever, request: RetrieveRequest) -> dict[str, Any]:
    """The reply to a request.

    Raises:
        InputError: A query cannot be searched for.
    """
    found = retriever.search(request.queries, topk=request.topk)
    return {"result": [_hits(one, request.return_scores) for one in found]}


def _hits(found: Retrieved, return_scores: bool) -> list[dict[str, Any]]:
    if isinstance(found, RetrievalFailed):
        raise InputError(f"queries: {found.detail}")
    return [{"document": _document(doc), "score": doc.score} if return_scores else _document(doc) for doc in found]


def _document(doc: Doc) -> dict[str, str]:
    return {"id": doc.id, "contents": f"{doc.title}\n{doc.text}"}


def application(retriever: Bm25Retriever) -> Any:
    """An aiohttp application with one route. Requests over 1 MiB are refused before they are parsed.

    Raises:
        MissingExtraError: aiohttp is not installed.
    """
    web = _aiohttp()

    async def retrieve(request: Any) -> Any:
        try:
            asked = RetrieveRequest.model_validate_json(await request.read())
            return web.json_response(await asyncio.to_thread(answer, retriever, asked))
        except ValidationError as error:
            problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
            reason = ".".join(map(str, problem["loc"])) + f": {problem['msg'][:300]}"
        except InputError as error:
            reason = str(error)
        return web.json_response({"error": reason}, status=422)

    made = web.Application(client_max_size=MAX_REQUEST_BYTES)
    made.router.add_post(PATH, retrieve)
    return made


def serve(retriever: Bm25Retriever, *, port: int, ready: Callable[[str], None]) -> None:
    """Serve until interrupted. Only this machine can reach it; there is no authentication.

    Args:
        retriever: What answers.
        port: 0 takes a free one.
        ready: Called with the address as soon as requests are answered.
    """
    asyncio.run(_serve(application(retriever), port, ready))


async def _serve(app: Any, port: int, ready: Callable[[str], None]) -> None:
    runner = _aiohttp().AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await _aiohttp().TCPSite(runner, HOST, port).start()
        ready(f"http://{HOST}:{runner.addresses[0][1]}")
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


def _aiohttp() -> Any:
    try:
        return import_module("aiohttp.web")
    except ImportError as error:
        raise MissingExtraError("gainful retrieve serve needs aiohttp; pip install 'gainful[retrieval]'") from error
