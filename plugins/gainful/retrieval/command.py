"""`gainful retrieve`: serve a corpus on this machine, or look at what a query finds."""

import asyncio
import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from gainful.config import from_mapping
from gainful.errors import GainfulError
from gainful.retrieval.config import RetrieverOptions
from gainful.retrieval.types import RetrievalFailed, Retrieved, render

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Find documents, as policies in training do.")

Corpus = Annotated[Path, typer.Option(exists=True, dir_okay=False, help='JSON Lines of {"id", "title", "text"}.')]
Index = Annotated[Path | None, typer.Option(file_okay=False, help="Folder that keeps the index between runs.")]
TopK = Annotated[int, typer.Option(help="Documents per query, at most.")]


@app.command("serve")
def serve_corpus(
    corpus: Corpus,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0 takes a free one.")] = 8000,
    index: Index = None,
    topk: TopK = 3,
) -> None:
    """Answer POST /retrieve on 127.0.0.1 until interrupted, with the schema of Search-R1's retrieval server."""
    from gainful.retrieval.bm25 import Bm25Retriever
    from gainful.retrieval.serve import serve

    try:
        retriever = Bm25Retriever(_options(type="bm25", corpus=corpus, index=index, topk=topk))
        serve(retriever, port=port, ready=lambda url: typer.echo(f"serving {corpus} on {url}/retrieve"))
    except (GainfulError, OSError) as error:
        _end(error)
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


@app.command()
def query(
    text: Annotated[str, typer.Argument(help="What to search for.")],
    corpus: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="Search this corpus.")] = None,
    url: Annotated[str | None, typer.Option(help="Ask this server instead.")] = None,
    index: Index = None,
    topk: TopK = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
) -> None:
    """Print what one query finds, as a policy reads it; ends with status 3 if the search fails."""
    from gainful.retrieval.make import make_retriever

    try:
        options = _options(type="bm25" if url is None else "http", corpus=corpus, index=index, url=url, topk=topk)
        found = asyncio.run(make_retriever(options).retrieve([text]))[0]
    except (GainfulError, OSError) as error:
        _end(error)
    typer.echo(json.dumps(_as_json(found), indent=2) if as_json else render(found))
    if isinstance(found, RetrievalFailed):
        typer.echo(f"{found.reason}: {found.detail}", err=True)
        raise typer.Exit(3)


def _options(**given: Any) -> RetrieverOptions:
    section = {name: str(value) if isinstance(value, Path) else value for name, value in given.items()}
    return from_mapping(RetrieverOptions, section, where="gainful retrieve", owner="a retriever")


def _as_json(found: Retrieved) -> Any:
    return asdict(found) if isinstance(found, RetrievalFailed) else [asdict(doc) for doc in found]


def _end(error: Exception) -> None:
    typer.echo(str(error), err=True)
    raise typer.Exit(2) from error
