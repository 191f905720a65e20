"""`gainful doctor vllm` against the installed vLLM."""

import json

from gainful_vllm.doctor import CONFIG_VARIABLE, findings


def states():
    return {finding.subject: finding for finding in findings()}


def test_the_connector_and_the_scheduler_class_are_found():
    found = states()
    assert found["SparKVConnector"].state == "ok"
    assert found["two_pointer"].state == "ok"
    assert found["vllm serve"].remedy or found["vllm serve"].state == "ok"


def test_an_allow_list_without_us_is_a_problem(monkeypatch):
    monkeypatch.setenv("VLLM_PLUGINS", "other")
    (finding,) = findings()
    assert finding.state == "problem"
    assert "unset VLLM_PLUGINS" in finding.remedy


def test_a_configuration_is_explained(monkeypatch, transfer_config):
    monkeypatch.setenv(CONFIG_VARIABLE, json.dumps(transfer_config(store="redis://user:secret@cache", codec="raw")))
    finding = states()[CONFIG_VARIABLE]
    assert finding.state == "ok"
    assert "secret" not in finding.detail


def test_a_wrong_configuration_is_a_problem(monkeypatch, transfer_config):
    monkeypatch.setenv(CONFIG_VARIABLE, json.dumps(transfer_config(codex="raw")))
    assert "did you mean 'codec'" in states()[CONFIG_VARIABLE].detail
    monkeypatch.setenv(CONFIG_VARIABLE, json.dumps({**transfer_config(), "kv_load_failure_policy": "fail"}))
    assert states()["kv_load_failure_policy"].state == "problem"
    monkeypatch.setenv(CONFIG_VARIABLE, "{")
    assert states()[CONFIG_VARIABLE].state == "problem"
