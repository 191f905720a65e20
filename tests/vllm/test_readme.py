"""The README's blocks for vLLM, checked by vLLM's own parsers."""

import re
import shlex

import pytest
import vllm
from vllm.engine.arg_utils import EngineArgs

from gainful_vllm.options import read_options
from gainful_vllm.refusals import check_engine, choose_mode


def block(repository, language):
    pattern = rf"^```{language} vllm\n(.*?)^```"
    return re.search(pattern, (repository / "README.md").read_text(), flags=re.MULTILINE | re.DOTALL)[1]


def mode_of(settings):
    config = EngineArgs(**{"max_model_len": 512, "dtype": "float32", **settings}).create_engine_config()
    options = read_options(config.kv_transfer_config.kv_connector_extra_config)
    check_engine(config, options)
    return choose_mode(config, options)


def test_the_offline_engine_races(repository, model_folder, monkeypatch):
    taken = {}
    monkeypatch.setattr(vllm, "LLM", lambda **settings: taken.update(settings))
    exec(block(repository, "python"), {"model": str(model_folder)})  # noqa: S102 (our own README)
    assert mode_of(taken) == "two_pointer"


def test_the_server_races(repository, model_folder):
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    words = shlex.split(block(repository, "sh").replace("\\\n", " "))
    assert words[:3] == ["vllm", "serve", "MODEL"]
    arguments = ["--model", str(model_folder), "--max-model-len", "512", "--dtype", "float32", *words[3:]]
    parsed = EngineArgs.add_cli_args(FlexibleArgumentParser()).parse_args(arguments)
    config = EngineArgs.from_cli_args(parsed).create_engine_config()
    options = read_options(config.kv_transfer_config.kv_connector_extra_config)
    assert choose_mode(config, options) == "two_pointer"
    assert options.store == "redis://cache:6379"


@pytest.mark.parametrize("language", ["python", "sh"])
def test_the_blocks_are_there(repository, language):
    assert "SparKVConnector" in block(repository, language)
