"""BM25 over a corpus: values worked out by hand, order among equals, saved indexes, corpora that are none."""

import asyncio
import json
import shutil
import sys
from hashlib import sha256
from math import log
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gainful.config import from_mapping
from gainful.errors import ConfigError, InputError, IntegrityError, MissingExtraError, StoreError
from gainful.retrieval import RetrievalFailed, RetrieverOptions, make_retriever, render
from gainful.retrieval.bm25 import Bm25Retriever, best


def retriever(corpus, **options):
    return Bm25Retriever(RetrieverOptions(corpus=corpus, **options))


def ids(found):
    return [doc.id for doc in found]


def test_scores_are_lucenes(write_corpus):
    corpus = write_corpus(
        [{"id": "a", "title": "tin", "text": "drum"}, {"id": "b", "title": "tin", "text": "tin roof tiles"}]
    )
    found = retriever(corpus).search(["drum tin"])[0]
    # 2 and 4 words, 3 on average; idf = ln(1 + (N - df + 0.5) / (df + 0.5)), tf part = tf / (tf + k1 (1 - b + b L / 3))
    drum, tin = log(1 + 1.5 / 1.5), log(1 + 0.5 / 2.5)
    short, long = 1.2 * (0.25 + 0.75 * 2 / 3), 1.2 * (0.25 + 0.75 * 4 / 3)
    assert ids(found) == ["a", "b"]
    assert found[0].score == pytest.approx((drum + tin) / (1 + short), rel=1e-6)
    assert found[1].score == pytest.approx(tin * 2 / (2 + long), rel=1e-6)


def test_documents_without_a_word_of_the_query_do_not_come(write_corpus):
    found = retriever(write_corpus()).search(["capital", "vitamin c", "atlantis", "the of"])
    assert [ids(one) for one in found] == [["b", "p"], ["x"], [], []]


def test_retrieve_answers_in_order_and_at_most_topk(write_corpus):
    found = asyncio.run(retriever(write_corpus(), topk=1).retrieve(["france", "bern"]))
    assert [ids(one) for one in found] == [["l"], ["b"]]


@given(st.lists(st.integers(0, 4), min_size=1, max_size=40), st.integers(1, 50))
def test_best_is_the_head_of_a_full_sort(values, topk):
    scores = np.array(values, dtype=np.float32)
    expected = [place for place in sorted(range(len(values)), key=lambda i: (-values[i], i)) if values[place] > 0]
    assert best(scores, topk) == expected[:topk]


def test_equal_scores_come_in_the_order_of_their_ids_whatever_the_order_of_lines(write_corpus):
    entries = [{"id": f"{i:02}", "title": "", "text": "same words"} for i in range(20)]
    for order in (entries, entries[::-1], entries[7:] + entries[:7]):
        assert ids(retriever(write_corpus(order), topk=5).search(["words"])[0]) == ["00", "01", "02", "03", "04"]


@pytest.mark.parametrize("query", ["", "  \n", "\x1c", "x" * 2001])
def test_a_query_that_nobody_should_search_for_fails_and_says_so(write_corpus, query):
    failed, found = retriever(write_corpus()).search([query, "bern"])
    assert isinstance(failed, RetrievalFailed)
    assert failed.reason == "bad_query"
    assert ids(found) == ["b"]
    assert render(failed) == "Search failed: a query must hold 1 to 2000 characters."


@pytest.mark.parametrize("query", ["\ud800 bern", "bern\x00", "🦊 bern", "BERN!", "bern " * 400])
def test_strange_queries_are_only_words(write_corpus, query):
    assert ids(retriever(write_corpus()).search([query])[0]) == ["b"]


def test_a_failed_retrieval_is_no_empty_list():
    failed = RetrievalFailed("timeout", "no reply in 1 s")
    with pytest.raises(TypeError, match=r"a failed retrieval \(timeout\) is no list"):
        bool(failed)
    with pytest.raises(TypeError):
        len(failed)
    with pytest.raises(InputError, match="unknown reason 'late'"):
        RetrievalFailed("late")


def test_what_a_policy_reads(write_corpus):
    found = retriever(write_corpus()).search(["capital of france"])[0]
    assert render(found[:2]) == (
        "Doc 1(Title: Paris) Paris is the capital of France.\nDoc 2(Title: Bern) Bern is the capital of Switzerland."
    )
    assert render([]) == "No document matches."


def test_equal_options_share_one_retriever(write_corpus):
    options = {"corpus": write_corpus(), "topk": 2}
    assert make_retriever(RetrieverOptions(**options)) is make_retriever(RetrieverOptions(**options))
    assert make_retriever(RetrieverOptions(**options)) is not make_retriever(RetrieverOptions(**options, b=0.5))


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([], "expected one JSON object a line, found none"),
        (["no json"], "line 1: invalid JSON"),
        ([{"id": "a", "text": "x"}, {"id": "a", "text": "y"}], "line 2: id 'a' must be unique, and is in line 1 too"),
        ([{"id": 1, "text": "x"}], "line 1: id: input should be a valid string"),
        ([{"id": "", "text": "x"}], "line 1: id: string should have at least 1 character"),
        ([{"id": "a", "title": "x"}], "line 1: text: field required"),
        ([{"id": "a", "text": "x", "url": "u"}], "line 1: url: extra inputs are not permitted"),
        ([{"id": "a", "text": "x" * 100_001}], "line 1: text: string should have at most 100000 characters"),
        ([{"id": "a", "title": "", "text": "?!"}], "expected words in title or text, found none in 1 entries"),
        (["[" * 100_000], "line 1: invalid JSON"),
    ],
)
def test_a_corpus_that_is_none_is_refused_with_file_and_line(write_corpus, lines, says):
    corpus = write_corpus(lines)
    with pytest.raises(InputError) as error:
        retriever(corpus)
    assert says in str(error.value)
    assert str(error.value).startswith(corpus)


def test_a_saved_index_answers_as_a_fresh_one_and_is_not_written_again(write_corpus, tmp_path):
    corpus, queries = write_corpus(), ["capital of france", "city", "atlantis"]
    fresh = retriever(corpus).search(queries)
    assert retriever(corpus, index=str(tmp_path / "deep/index")).search(queries) == fresh
    written = {file: file.stat().st_mtime_ns for file in (tmp_path / "deep/index").iterdir()}
    assert retriever(corpus, index=str(tmp_path / "deep/index")).search(queries) == fresh
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "deep/index").iterdir()} == written
    assert not any(b"\x80\x04" in file.read_bytes()[:2] for file in written)
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["index"]


@pytest.fixture
def saved(write_corpus, tmp_path):
    """A corpus and the folder of its index."""
    corpus, folder = write_corpus(), tmp_path / "index"
    retriever(corpus, index=str(folder))
    return corpus, folder


def refused(corpus, folder, says, **options):
    with pytest.raises(IntegrityError, match=says):
        retriever(corpus, index=str(folder), **options)


def test_an_index_of_another_corpus_or_of_other_options_is_refused(saved, write_corpus):
    corpus, folder = saved
    refused(write_corpus([{"id": "a", "text": "x"}], "other.jsonl"), folder, "expected corpus_sha256")
    refused(corpus, folder, "expected k1 2.0, found 1.2; delete the folder", k1=2.0)


@pytest.mark.parametrize("name", ["data.csc.index.npy", "indices.csc.index.npy", "vocab.index.json", "manifest.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "gone"])
def test_a_damaged_index_is_refused(saved, name, damage):
    corpus, folder = saved
    content = (folder / name).read_bytes()
    if damage == "gone":
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content[:-3] if damage == "cut" else content[:-3] + b"~" + content[-2:])
    refused(corpus, folder, "delete the folder")


def forge(folder: Path, name: str, content: bytes) -> None:
    """Replace a file, and its digest in the manifest."""
    (folder / name).write_bytes(content)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][name] = sha256(content).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))


def as_npy(array: np.ndarray, tmp_path: Path) -> bytes:
    np.save(tmp_path / "forged.npy", array, allow_pickle=True)
    return (tmp_path / "forged.npy").read_bytes()


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("indices.csc.index.npy", np.full(19, 10**6, dtype=np.int32)),
        ("indices.csc.index.npy", np.full(19, -1, dtype=np.int32)),
        ("indices.csc.index.npy", np.zeros(2, dtype=np.int32)),
        ("indptr.csc.index.npy", np.array([5, 0, 19], dtype=np.int64)),
        ("data.csc.index.npy", np.array(["x"] * 19, dtype=object)),
        ("data.csc.index.npy", np.zeros((19, 1), dtype=np.float32)),
    ],
)
def test_a_forged_index_is_refused_and_nothing_is_unpickled(saved, tmp_path, name, array):
    corpus, folder = saved
    forge(folder, name, as_npy(array, tmp_path))
    refused(corpus, folder, "delete the folder")


@pytest.mark.parametrize(
    ("name", "text"),
    [("params.index.json", '{"k1": 1.2, "nonsense": 1}'), ("params.index.json", "[]"), ("vocab.index.json", "{}")],
)
def test_forged_parameters_are_refused(saved, name, text):
    corpus, folder = saved
    forge(folder, name, text.encode())
    refused(corpus, folder, "delete the folder")


def test_a_manifest_may_not_name_files_elsewhere(saved, tmp_path):
    corpus, folder = saved
    shutil.copy(folder / "data.csc.index.npy", tmp_path / "data.npy")
    forge(folder, "../data.npy", (folder / "data.csc.index.npy").read_bytes())
    refused(corpus, folder, "the manifest must name")


def test_a_folder_that_cannot_be_written_is_a_store_error(write_corpus, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"cannot write .*choose another retriever\.index"):
        retriever(write_corpus(), index=str(tmp_path / "file/index"))


def test_without_the_library_the_extra_is_named(write_corpus, monkeypatch):
    monkeypatch.setitem(sys.modules, "bm25s", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'gainful\[retrieval\]'"):
        retriever(write_corpus())


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ({}, "type 'bm25' needs 'corpus'"),
        ({"type": "http"}, "type 'http' needs 'url'"),
        ({"type": "http", "url": "http://h", "corpus": "c"}, "type 'http' does not read 'corpus'"),
        ({"corpus": "c", "url": "http://h"}, "type 'bm25' does not read 'url'"),
        ({"corpus": "c", "topk": 0}, "topk: input should be greater than or equal to 1"),
        ({"corpus": "c", "topk": 101}, "topk: input should be less than or equal to 100"),
        ({"corpus": "c", "b": 1.5}, "b: input should be less than or equal to 1"),
        ({"corpus": "c", "tokp": 3}, "unknown option 'tokp' for a retriever; did you mean 'topk'?"),
    ],
)
def test_impossible_options_are_refused(section, says):
    with pytest.raises(ConfigError) as error:
        from_mapping(RetrieverOptions, section, where="retriever", owner="a retriever")
    assert says in str(error.value)
