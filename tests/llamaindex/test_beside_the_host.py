"""gainful beside a real LlamaIndex, without torch: nothing breaks, and what is missing is named."""

from importlib.util import find_spec

import llama_index.core  # noqa: F401
import pytest

from gainful import hosts
from gainful.catalog import catalog
from gainful.errors import MissingExtraError, UnknownNameError


def test_the_installed_version_is_supported():
    assert hosts.require("llamaindex").distribution == "llama-index-core"


def test_without_torch_the_estimators_say_what_they_need():
    assert find_spec("torch") is None
    assert isinstance(catalog().failures[0].error, MissingExtraError)
    with pytest.raises(UnknownNameError, match=r"pip install 'gainful\[verl\]'"):
        catalog().advantage("agpo")
