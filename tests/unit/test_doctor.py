import json
import subprocess
from types import ModuleType

import pytest
from typer.testing import CliRunner

from gainful import build_catalog, doctor, hookimpl
from gainful.builtin import ESTIMATORS, NOT_IMPLEMENTED
from gainful.cli import app
from gainful.hosts import HostStatus


@pytest.fixture
def verl(monkeypatch):
    """`verl("0.8.0", answer=[...])` pretends an installed verl and what the adapter answers."""

    def pretend(version, answer=(), returncode=0, stderr=""):
        monkeypatch.setattr(doctor, "check", lambda name: HostStatus(name, ">=0.9.0,<0.10", "verl", version))
        stdout = "noise\n" + doctor._MARKER + json.dumps(list(answer))
        done = subprocess.CompletedProcess([], returncode, stdout=stdout, stderr=stderr)
        monkeypatch.setattr(doctor, "_run", lambda command: done)
        return list(doctor.examine_host("verl"))

    return pretend


def test_a_host_outside_the_range_gets_the_command_that_mends_it(verl):
    findings = verl("0.8.0")
    assert [finding.state for finding in findings] == ["problem"]
    assert findings[0].remedy == "pip install 'verl>=0.9.0,<0.10'"


def test_the_adapter_is_asked(verl):
    answer = [{"subject": "agpo", "state": "ok", "detail": "algorithm.adv_estimator=agpo", "remedy": ""}]
    assert verl("0.9.1", answer)[-1] == doctor.Finding(**answer[0])


def test_an_adapter_that_fails_is_a_problem_with_its_last_line(verl):
    finding = verl("0.9.1", returncode=1, stderr="Traceback\nImportError: no torch\n")[-1]
    assert finding.state == "problem"
    assert "ImportError: no torch" in finding.detail


def test_a_failed_plugin_is_named_with_its_switch():
    def register_stores(register):
        raise RuntimeError("no disk")

    acme = ModuleType("acme")
    acme.register_stores = hookimpl(register_stores)
    findings = {finding.subject: finding for finding in doctor.examine_plugins(build_catalog([acme]))}
    assert findings["builtin"].state == "ok"
    assert findings["acme"].state == "problem"
    assert "no disk" in findings["acme"].detail
    assert "GAINFUL_DISABLE=acme" in findings["acme"].remedy


def test_status_is_one_if_a_host_asked_for_by_name_is_missing(monkeypatch):
    monkeypatch.setattr(doctor, "check", lambda name: HostStatus(name, ">=0.32,<0.33"))
    result = CliRunner().invoke(app, ["doctor", "vllm"])
    assert result.exit_code == 1
    assert "pip install 'gainful[vllm]'" in result.output


def test_an_unknown_host_is_a_usage_error():
    result = CliRunner().invoke(app, ["doctor", "trl"])
    assert result.exit_code == 2
    assert "known: verl, llamaindex, vllm" in " ".join(result.output.split()).replace("│", "")


def test_json_can_be_read_by_scripts():
    found = json.loads(CliRunner().invoke(app, ["doctor", "--json"]).output)
    assert found["plug-ins"][0]["subject"] == "builtin"
    methods = json.loads(CliRunner().invoke(app, ["plugins", "--json"]).output)["methods"]
    assert methods[0]["name"] == "agpo"
    assert methods[0]["options"]["delta"]["description"]


def test_the_table_names_every_estimator():
    output = CliRunner(env={"COLUMNS": "160"}).invoke(app, ["plugins"]).output
    for name in (*ESTIMATORS, *NOT_IMPLEMENTED):
        assert name in output
    assert "alpha, required" in output
    assert "base_options={}" in output
