"""A BM25 index on disk: bm25s's own files without pickle, and a manifest that says what they must be."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from gainful.errors import IntegrityError, StoreError
from gainful.jsonl import Record
from gainful.retrieval.config import RetrieverOptions
from gainful.retrieval.corpus import digest_of

__all__ = ["load_or_build"]

LAYOUT_VERSION = 1
_MANIFEST = "manifest.json"
_MAX_MANIFEST_BYTES = 65_536
_FILES = (
    "data.csc.index.npy",
    "indices.csc.index.npy",
    "indptr.csc.index.npy",
    "params.index.json",
    "vocab.index.json",
)


class Manifest(Record):
    """What an index was made from, and the digest of each of its files."""

    layout_version: int
    library: str
    k1: float
    b: float
    corpus_sha256: str
    files: dict[str, str]


def load_or_build(folder: Path, corpus: Path, options: RetrieverOptions, build: Callable[[], Any]) -> Any:
    """The bm25s index in `folder`; built and written there first if the folder does not exist.

    Processes that start at one time may all build; the first to finish is kept.

    Raises:
        IntegrityError: What is there is damaged, or belongs to another corpus, other options or another bm25s.
        StoreError: The folder cannot be written.
    """
    if not folder.exists():
        _write(folder, build(), corpus, options)
    _check(folder, _expected(corpus, options))
    return _load(folder)


def _load(folder: Path) -> Any:
    """Digests agree, yet whoever wrote the files may have written the manifest: positions are checked too."""
    try:
        loaded = import_module("bm25s").BM25.load(folder, allow_pickle=False, show_progress=False)
        starts, places, values = (loaded.scores[name] for name in ("indptr", "indices", "data"))
        sound = (
            (starts.ndim, places.ndim, values.ndim) == (1, 1, 1)
            and (starts.dtype.kind, places.dtype.kind, values.dtype.kind) == ("i", "i", "f")
            and len(places) == len(values) == starts[-1]
            and bool((np.diff(starts, prepend=0) >= 0).all())
            and 0 <= places.min(initial=0) <= places.max(initial=0) < loaded.scores["num_docs"]
            and max(loaded.vocab_dict.values()) <= len(starts) - 1
        )
    except (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise IntegrityError(f"{folder}: no index of bm25s; delete the folder") from error
    if not sound:
        raise IntegrityError(f"{folder}: positions in the index contradict each other; delete the folder")
    return loaded


def _expected(corpus: Path, options: RetrieverOptions) -> dict[str, Any]:
    library: str = import_module("bm25s").__version__
    made_from = {"k1": options.k1, "b": options.b, "corpus_sha256": digest_of(corpus)}
    return {"layout_version": LAYOUT_VERSION, "library": library, **made_from}


def _write(folder: Path, built: Any, corpus: Path, options: RetrieverOptions) -> None:
    """Write beside `folder`, then give it its name: nobody sees half an index."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        built.save(aside, allow_pickle=False, show_progress=False)
        files = {name: digest_of(aside / name) for name in _FILES}
        (aside / _MANIFEST).write_text(json.dumps({**_expected(corpus, options), "files": files}, indent=2))
    except OSError as error:
        raise StoreError(f"retriever index: cannot write {folder}: {error}; choose another retriever.index") from error
    try:
        os.rename(aside, folder)
    except OSError:  # another process was first
        shutil.rmtree(aside)


def _check(folder: Path, expected: Mapping[str, Any]) -> None:
    """Compare manifest and digests before any array is read."""
    manifest = _manifest(folder / _MANIFEST)
    for name, value in expected.items():
        if getattr(manifest, name) != value:
            found = getattr(manifest, name)
            raise IntegrityError(f"{folder}: expected {name} {value!r}, found {found!r}; delete the folder")
    if sorted(manifest.files) != sorted(_FILES):
        raise IntegrityError(f"{folder}: the manifest must name {', '.join(_FILES)}; delete the folder")
    for name, digest in manifest.files.items():
        try:
            found = digest_of(folder / name)
        except OSError as error:
            raise IntegrityError(f"{folder}: {name} cannot be read; delete the folder") from error
        if found != digest:
            raise IntegrityError(f"{folder}: {name} is not what was written; delete the folder")


def _manifest(file: Path) -> Manifest:
    try:
        with file.open("rb") as opened:
            text = opened.read(_MAX_MANIFEST_BYTES + 1)
        if len(text) > _MAX_MANIFEST_BYTES:
            raise IntegrityError(f"{file}: expected at most {_MAX_MANIFEST_BYTES} bytes; delete the folder")
        return Manifest.model_validate_json(text)
    except (OSError, ValidationError) as error:
        raise IntegrityError(f"{file}: no manifest of an index; delete the folder, or name another") from error
