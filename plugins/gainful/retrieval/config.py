"""Options of a retriever."""

from typing import Literal

from pydantic import Field, model_validator

from gainful.config import Options

__all__ = ["MAX_TOPK", "RetrieverOptions"]

MAX_TOPK = 100


class RetrieverOptions(Options):
    """Where documents come from. Defaults are ours, `topk` is the source's."""

    type: Literal["bm25", "http"] = "bm25"
    """`bm25`: in this process, over `corpus`; `http`: a server with the schema of Search-R1 at `url`."""
    corpus: str | None = None
    """`bm25`: JSON Lines of {"id", "title", "text"}."""
    index: str | None = None
    """`bm25`: folder that keeps the index between runs; None builds it anew in memory."""
    url: str | None = None
    """`http`: the server, such as `http://127.0.0.1:8000`; `/retrieve` is added."""
    topk: int = Field(default=3, ge=1, le=MAX_TOPK)
    """Documents per query, at most."""
    k1: float = Field(default=1.2, ge=0)
    """`bm25`: how much further occurrences of a word count."""
    b: float = Field(default=0.75, ge=0, le=1)
    """`bm25`: how much longer documents are marked down."""
    timeout_s: float = Field(default=30.0, gt=0)
    """`http`: seconds of one try; there are two."""

    @model_validator(mode="after")
    def _fits_together(self) -> "RetrieverOptions":
        needed, idle = ("corpus", ("url",)) if self.type == "bm25" else ("url", ("corpus", "index"))
        if getattr(self, needed) is None:
            raise ValueError(f"type {self.type!r} needs {needed!r}")
        for name in idle:
            if getattr(self, name) is not None:
                raise ValueError(f"type {self.type!r} does not read {name!r}; leave it out, or choose the other type")
        return self
