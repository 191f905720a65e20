"""The HTTP client against servers that misbehave, and against the server that gainful offers."""

import asyncio
import json
import re
import subprocess
import sys
import threading
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from typer.testing import CliRunner

from gainful import endpoint as endpoint_module
from gainful.cli import app
from gainful.errors import ConfigError
from gainful.retrieval import Doc, RetrievalFailed, RetrieverOptions, render
from gainful.retrieval.search_r1 import SearchR1Client


def client(url, **options):
    return SearchR1Client(RetrieverOptions(type="http", url=url, **options))


def ask(server, *queries, **options):
    return asyncio.run(client(server.url, **options).retrieve(queries or ["where?"]))


def hit(contents, score=1.5, **more):
    return {"document": {"contents": contents, **more}, "score": score}


def test_what_is_sent_and_what_comes_back(server):
    server.script = [(200, {"result": [[hit('"Paris"\nA city.\nOld.', id="7")], []]})]
    assert ask(server, "one", "two") == [[Doc("7", "Paris", "A city.\nOld.", 1.5)], []]
    path, body, _ = server.requests[0]
    assert path == "/v1/retrieve"
    assert body == {"queries": ["one", "two"], "topk": 3, "return_scores": True}


@pytest.mark.parametrize(
    ("found", "doc"),
    [
        ({"contents": "T\nx"}, Doc("", "T", "x", None)),
        ({"id": 4, "title": "T", "text": "x"}, Doc("4", "T", "x", None)),
        ({"contents": "only a title"}, Doc("", "only a title", "", None)),
        ({"document": {"title": "T", "text": "x", "contents": "no"}, "score": 2}, Doc("", "T", "x", 2.0)),
    ],
)
def test_documents_may_be_bare_or_have_their_parts_apart(server, found, doc):
    server.script = [(200, {"result": [[found]]})]
    assert ask(server) == [[doc]]


@pytest.mark.parametrize(
    "reply",
    [
        {},
        {"result": None},
        {"result": []},
        {"result": [[], []]},
        {"result": [{}]},
        {"result": [[hit("x")] * 4]},
        {"result": [["text"]]},
        {"result": [[None]]},
        {"result": [[{}]]},
        {"result": [[{"document": {"contents": "x"}}]]},
        {"result": [[{"document": {}, "score": 1.0}]]},
        {"result": [[hit("x", score="high")]]},
        {"result": [[hit("x", score=float("nan"))]]},
        {"result": [[hit(["x"])]]},
        {"result": [[hit("x" * 100_001)]]},
    ],
)
def test_a_reply_of_another_form_is_a_failure_and_no_empty_list(server, reply):
    server.script = [(200, reply)]
    assert ask(server)[0].reason == "bad_reply"
    assert len(server.requests) == 1


@pytest.mark.parametrize("body", [b"", b"no json", b"[1]", b"\xff", b"[" * 100_000])
def test_a_reply_that_is_no_object_is_a_failure(server, body):
    server.script = [(200, body)]
    assert ask(server, "a", "b") == [RetrievalFailed("call_failed", ask(server)[0].detail)] * 2


@pytest.mark.parametrize(("status", "tries"), [(500, 2), (503, 2), (404, 1), (422, 1)])
def test_a_failing_server_is_tried_at_most_twice(server, status, tries):
    server.script = [(status, {})]
    assert ask(server) == [RetrievalFailed("call_failed", f"HTTP {status}")]
    assert len(server.requests) == tries


def test_a_busy_server_is_tried_again(server):
    server.script = [(503, {}), (200, {"result": [[hit("T\nx")]]})]
    assert ask(server)[0][0].title == "T"


def test_redirects_are_not_followed(server):
    server.script = [(302, {}, [("location", server.url + "/elsewhere")])]
    assert ask(server) == [RetrievalFailed("call_failed", "HTTP 302")]
    assert len(server.requests) == 1


def test_a_silent_server_is_given_up(server):
    done = threading.Event()
    server.script = [lambda handler, body: (done.wait(5), (200, {}))[1]]
    failed = ask(server, timeout_s=0.1)[0]
    done.set()
    assert failed == RetrievalFailed("timeout", "no reply in 0.1 s")
    assert render(failed) == "Search failed: the search took too long."


def test_a_long_reply_is_not_read_to_its_end(server, monkeypatch):
    monkeypatch.setattr(endpoint_module, "MAX_RESPONSE_BYTES", 1000)
    server.script = [(200, b" " * 100_000)]
    assert ask(server) == [RetrievalFailed("call_failed", "the reply is longer than 1000 bytes")]


def test_nobody_listening_is_a_failure(monkeypatch):
    monkeypatch.setattr(endpoint_module, "PAUSE_SECONDS", 0.0)
    found = asyncio.run(client("http://127.0.0.1:1").retrieve(["x"]))
    assert found == [RetrievalFailed("call_failed", "no reply: ConnectionRefusedError")]


def test_bad_queries_stay_here_and_spoil_no_other(server):
    server.script = [(200, {"result": [[hit("T\nx")]]})]
    bad, good = ask(server, " ", "fine")
    assert (bad.reason, good[0].title) == ("bad_query", "T")
    assert server.requests[0][1]["queries"] == ["fine"]
    assert ask(server, " ")[0].reason == "bad_query"
    assert len(server.requests) == 1


@pytest.mark.parametrize("url", ["ftp://h", "http://", "http://u:p@h", "http://h?key=1"])
def test_impossible_addresses_are_refused_before_anything_is_sent(url):
    with pytest.raises(ConfigError, match=r"retriever\.url"):
        client(url)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The address of `gainful retrieve serve` over two documents."""
    corpus = tmp_path_factory.mktemp("served") / "corpus.jsonl"
    lines = [{"id": "p", "title": "Paris", "text": "In France."}, {"id": "l", "title": "Lyon", "text": "In France."}]
    corpus.write_text("".join(json.dumps(line) + "\n" for line in lines))
    command = [sys.executable, "-m", "gainful", "retrieve", "serve", "--corpus", str(corpus), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        yield re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())[0]
        process.terminate()


def test_our_server_and_our_client_speak_one_language(served):
    found = asyncio.run(client(served, topk=1).retrieve(["france", "lyon", "atlantis"]))
    assert [[doc.id for doc in one] for one in found] == [["l"], ["l"], []]
    assert found[0][0] == Doc("l", "Lyon", "In France.", found[0][0].score)
    assert found[0][0].score > 0


def post(url, body):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    try:
        with urlopen(Request(url + "/retrieve", data, {"content-type": "application/json"})) as response:  # noqa: S310
            return response.status, json.load(response)
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_the_server_gives_bare_documents_unless_scores_are_asked_for(served):
    status, reply = post(served, {"queries": ["lyon"], "topk": 1})
    assert (status, reply) == (200, {"result": [[{"id": "l", "contents": "Lyon\nIn France."}]]})
    status, reply = post(served, {"queries": ["lyon"], "return_scores": True})
    assert set(reply["result"][0][0]) == {"document", "score"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no json",
        b"[" * 100_000,
        {},
        {"queries": "lyon"},
        {"queries": []},
        {"queries": ["x"] * 257},
        {"queries": [1]},
        {"queries": [" "]},
        {"queries": ["\x1c"]},
        {"queries": ["x" * 2001]},
        {"queries": ["x"], "topk": 0},
        {"queries": ["x"], "topk": 101},
        {"queries": ["x"], "topk": True},
        {"queries": ["x"], "k": 3},
        {"queries": ["\ud800"]},
    ],
)
def test_the_server_refuses_what_it_cannot_answer_and_says_why(served, body):
    status, reply = post(served, body)
    assert status == 422
    assert "error" in reply


def test_the_server_does_not_parse_what_is_too_long(served):
    assert post(served, b" " * (2**20 + 1))[0] == 413


def test_a_look_at_one_query(write_corpus, served):
    shown = CliRunner().invoke(app, ["retrieve", "query", "--corpus", write_corpus(), "capital of france"])
    assert (shown.exit_code, shown.stdout.splitlines()[0]) == (0, "Doc 1(Title: Paris) Paris is the capital of France.")
    found = CliRunner().invoke(app, ["retrieve", "query", "--url", served, "--topk", "1", "--json", "lyon"])
    assert [doc["id"] for doc in json.loads(found.stdout)] == ["l"]
    failed = CliRunner().invoke(app, ["retrieve", "query", "--corpus", write_corpus(), " "])
    assert (failed.exit_code, failed.stdout) == (3, "Search failed: a query must hold 1 to 2000 characters.\n")
    unclear = CliRunner().invoke(app, ["retrieve", "query", "x"])
    assert unclear.exit_code == 2
    assert "type 'bm25' needs 'corpus'" in unclear.output
