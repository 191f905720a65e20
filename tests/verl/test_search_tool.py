"""The search tool inside verl's own classes: loaded by its tool registry, called by its tool agent loop."""

import asyncio
import inspect
import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf

import gainful_verl
from gainful.errors import ConfigError, InputError
from gainful_verl.search_tool import SearchTool

CONFIGS = Path(gainful_verl.__path__[0]) / "configs"


@pytest.fixture
def corpus(tmp_path):
    lines = [{"id": "p", "title": "Paris", "text": "In France."}, {"id": "b", "title": "Bern", "text": "In the Alps."}]
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(tmp_path / "corpus.jsonl")


@pytest.fixture
def load(tmp_path):
    """`load(retriever)`: the tool as verl loads it from a file."""
    from verl.tools.tool_registry import load_all_tools

    def read(retriever):
        entry = {"class_name": "gainful_verl.search_tool.SearchTool", "config": {"type": "native"}}
        entry["config"]["retriever"] = retriever
        OmegaConf.save(OmegaConf.create({"tools": [entry]}), tmp_path / "tools.yaml")
        return load_all_tools(str(tmp_path / "tools.yaml"), None)[0]

    return read


def call(tool, arguments):
    """What `ToolAgentLoop` makes of a call."""
    from verl.experimental.agent_loop.tool_agent_loop import ToolAgentLoop
    from verl.experimental.agent_loop.tool_parser import FunctionCall

    loop = SimpleNamespace(tools={tool.name: tool}, max_tool_response_length=1000, tool_response_truncate_side="right")
    wanted = FunctionCall(name="search", arguments=arguments)
    return asyncio.run(ToolAgentLoop._call_tool(loop, wanted, {}, SimpleNamespace()))


def test_the_host_has_the_signatures_we_rely_on():
    from verl.experimental.agent_loop.tool_agent_loop import ToolAgentLoop
    from verl.tools.base_tool import BaseTool

    assert list(inspect.signature(BaseTool.__init__).parameters) == ["self", "config", "tool_schema"]
    assert list(inspect.signature(BaseTool.execute).parameters) == ["self", "instance_id", "parameters", "kwargs"]
    parameters = list(inspect.signature(ToolAgentLoop._call_tool).parameters)
    assert parameters == ["self", "tool_call", "tools_kwargs", "agent_data"]


def test_verl_loads_the_tool_and_shows_its_schema_to_the_policy(load, corpus):
    tool = load({"corpus": corpus})
    assert isinstance(tool, SearchTool)
    schema = tool.tool_schema.model_dump(exclude_unset=True, exclude_none=True)
    assert schema["function"]["name"] == "search"
    assert schema["function"]["parameters"]["required"] == ["query"]


def test_documents_go_to_the_policy_as_text_and_to_the_loop_as_they_are(load, corpus):
    response, reward, told = call(load({"corpus": corpus}), '{"query": "alps"}')
    assert response.text == "Doc 1(Title: Bern) In the Alps."
    assert reward == 0.0
    assert (told["query"], told["failed"]) == ("alps", None)
    assert [(doc["id"], doc["title"], doc["text"]) for doc in told["documents"]] == [("b", "Bern", "In the Alps.")]


@pytest.mark.parametrize("arguments", ["{}", '{"query": null}', '{"query": ["a"]}', '{"query": " "}', "[]", "3"])
def test_a_call_without_a_usable_query_is_a_failure_that_the_policy_reads(load, corpus, arguments):
    response, _, told = call(load({"corpus": corpus}), arguments)
    assert response.text == "Search failed: a query must hold 1 to 2000 characters."
    assert (told["documents"], told["failed"]) == ([], "bad_query")


def test_a_server_that_is_not_there_is_a_failure_that_the_policy_reads(load):
    response, _, told = call(load({"type": "http", "url": "http://127.0.0.1:1"}), '{"query": "alps"}')
    assert response.text == "Search failed: the search is not available."
    assert told["failed"] == "call_failed"


def test_a_query_without_matches_is_no_failure(load, corpus):
    response, _, told = call(load({"corpus": corpus}), '{"query": "atlantis"}')
    assert (response.text, told["failed"]) == ("No document matches.", None)


@pytest.mark.parametrize(
    ("retriever", "error", "says"),
    [
        (None, ConfigError, "tools.config.retriever"),
        ({"corpus": "c", "tokp": 2}, ConfigError, "unknown option 'retriever.tokp'"),
        ({"type": "http"}, ConfigError, "type 'http' needs 'url'"),
    ],
)
def test_wrong_settings_stop_the_worker_that_loads_them(load, retriever, error, says):
    with pytest.raises(error, match=re.escape(says)):
        load(retriever)


def test_a_corpus_that_is_none_stops_the_worker_that_loads_it(load, tmp_path):
    (tmp_path / "corpus.jsonl").write_text("no json\n")
    with pytest.raises(InputError, match=r"corpus\.jsonl, line 1: invalid JSON"):
        load({"corpus": str(tmp_path / "corpus.jsonl")})


def test_the_file_in_the_package_names_the_tool():
    from verl.tools.tool_registry import load_all_tools

    assert [type(tool) for tool in load_all_tools(str(CONFIGS / "search_tool.yaml"), None)] == [SearchTool]
