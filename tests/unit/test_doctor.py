import json
import subprocess
from importlib.metadata import PackageNotFoundError, metadata
from types import ModuleType

import pytest
from typer.testing import CliRunner

from gainful import build_catalog, doctor, hookimpl
from gainful.builtin import ESTIMATORS, NOT_IMPLEMENTED
from gainful.cli import app
from gainful.doctor import findings, hosts, installation, probes
from gainful.errors import MissingExtraError
from gainful.hosts import HOSTS, HostStatus
from gainful.sparkv.stores.memory import MemoryStore


@pytest.fixture
def verl(monkeypatch):
    """`verl("0.8.0", answer=[...])` pretends an installed verl and what the adapter answers."""

    def pretend(version, answer=(), returncode=0, stderr=""):
        monkeypatch.setattr(hosts, "check", lambda name: HostStatus(name, ">=0.9.0,<0.10", "verl", version))
        stdout = "noise\n" + findings._MARKER + json.dumps(list(answer))
        done = subprocess.CompletedProcess([], returncode, stdout=stdout, stderr=stderr)
        monkeypatch.setattr(hosts, "_run", lambda command: done)
        return list(doctor.examine_host("verl"))

    return pretend


def test_a_host_outside_the_range_gets_the_command_that_mends_it(verl):
    findings = verl("0.8.0")
    assert [finding.state for finding in findings] == ["problem"]
    assert findings[0].remedy == "pip install 'verl>=0.9.0,<0.10'"


def test_nothing_of_a_host_without_a_known_range_is_asked(monkeypatch):
    monkeypatch.setattr("gainful.hosts.requires", lambda name: [])
    [finding] = doctor.examine_host("verl")
    assert finding.state == "problem"
    assert finding.remedy == installation.REINSTALL


def test_an_adapter_that_does_not_answer_in_time_is_a_problem(verl, monkeypatch):
    def hang(command):
        raise subprocess.TimeoutExpired(command, 180)

    verl("0.9.1")
    monkeypatch.setattr(hosts, "_run", hang)
    finding = list(doctor.examine_host("verl"))[-1]
    assert (finding.state, finding.detail) == ("problem", "no answer within 180 s")


def test_a_live_probe_of_the_adapter_runs_only_on_request(verl, monkeypatch):
    asked = []
    verl("0.9.1")
    run = hosts._run
    monkeypatch.setattr(hosts, "_run", lambda command: asked.append(command[-1]) or run(command))
    list(doctor.examine_host("verl"))
    assert asked == ["gainful_verl.doctor"]
    list(doctor.examine_host("verl", probe=True))
    assert asked[1:] == ["gainful_verl.doctor", "gainful_verl.doctor_probe"]


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


def test_gainful_that_is_not_installed_is_the_first_and_only_finding(monkeypatch):
    def nothing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(installation, "requires", nothing)
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 1
    assert "imported, but not installed" in result.output
    assert "→ pip install gainful" in result.output
    assert "builtin" not in result.output


def test_every_extra_for_users_is_a_host_or_an_optional_part():
    extras = set(metadata("gainful").get_all("Provides-Extra"))
    optional = {finding.subject for finding in doctor.examine_extras()}
    assert extras - {"dev"} == optional | set(HOSTS)
    assert not any("declares no extra" in finding.detail for finding in doctor.examine_extras())


def test_live_probes_find_what_must_come_out():
    pytest.importorskip("torch")
    found = list(doctor.probe_systems())
    assert [finding.subject for finding in found] == ["advantages", "information gain", "budget", "sparkv"]
    assert [finding.detail for finding in found if finding.state != "ok"] == []


def test_a_live_probe_notices_another_value_and_an_error(monkeypatch):
    def fail(_subject):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("gainful.infogain.uncertainty", lambda *arguments, **options: 1.0)
    monkeypatch.setitem(probes._PROBES, "budget", fail)
    found = {finding.subject: finding for finding in doctor.probe_systems()}
    assert found["information gain"].detail == "gains of two turns: expected [0.693, 0.693], found [0.0, 0.0]"
    assert "ZeroDivisionError" in found["budget"].detail
    assert {found[name].state for name in ("information gain", "budget")} == {"problem"}


def test_a_store_is_written_read_and_left_empty(tmp_path):
    finding = doctor.probe_store(f"file://{tmp_path}/kv")
    assert finding.state == "ok"
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size >= 1 << 16] == []


class Returned(MemoryStore):
    """A store that gives back something else."""

    def _fetch(self, handle, key, begin, end, deadline):
        return b"x" * (end - begin)


class Broken(MemoryStore):
    """A store with a mistake in it."""

    def _find(self, keys, deadline):
        return self.nothing


class Published(MemoryStore):
    read_only = True


@pytest.mark.parametrize(
    ("cls", "state", "detail"),
    [
        (Returned, "problem", "what was read is not what was written"),
        (Broken, "problem", "its store raised AttributeError: 'Broken' object has no attribute 'nothing'"),
        (Published, "ok", "read-only; it answered in"),
    ],
)
def test_a_store_that_returns_something_else_is_a_problem_and_one_that_only_reads_is_not(
    monkeypatch, cls, state, detail
):
    monkeypatch.setattr("gainful.sparkv.stores.url.open_store", lambda url: cls())
    finding = doctor.probe_store("memory://")
    assert finding.state == state
    assert finding.detail.startswith(detail)


def test_a_store_whose_client_is_missing_names_the_extra(monkeypatch):
    def refuse(url):
        raise MissingExtraError("store redis://cache needs the redis client; pip install 'gainful[redis]'")

    monkeypatch.setattr("gainful.sparkv.stores.url.open_store", refuse)
    finding = doctor.probe_store("redis://:secret@cache")
    assert (finding.subject, finding.remedy) == ("redis://***@cache", "pip install 'gainful[redis]'")


@pytest.mark.parametrize("url", ["file://relative", "nothing://x:secret@y", "no url"])
def test_a_store_that_cannot_be_used_is_a_problem_without_its_password(url):
    finding = doctor.probe_store(url)
    assert finding.state == "problem"
    assert finding.remedy
    assert "secret" not in str(finding)


def test_status_is_one_if_a_host_asked_for_by_name_is_missing(monkeypatch):
    monkeypatch.setattr(hosts, "check", lambda name: HostStatus(name, ">=0.32,<0.33"))
    result = CliRunner().invoke(app, ["doctor", "vllm"])
    assert result.exit_code == 1
    assert "pip install 'gainful[vllm]'" in result.output


def test_an_unknown_host_is_a_usage_error():
    result = CliRunner().invoke(app, ["doctor", "trl"])
    assert result.exit_code == 2
    assert "known: verl, llamaindex, vllm" in " ".join(result.output.split()).replace("│", "")


def test_json_can_be_read_by_scripts():
    found = json.loads(CliRunner().invoke(app, ["doctor", "--json"]).output)
    assert found["gainful"][0]["state"] == "ok"
    assert found["plug-ins"][0]["subject"] == "builtin"
    assert set(HOSTS) < set(found)
    methods = json.loads(CliRunner().invoke(app, ["plugins", "--json"]).output)["methods"]
    assert methods[0]["name"] == "agpo"
    assert methods[0]["options"]["delta"]["description"]


def test_the_table_names_every_estimator():
    output = CliRunner(env={"COLUMNS": "160"}).invoke(app, ["plugins"]).output
    for name in (*ESTIMATORS, *NOT_IMPLEMENTED):
        assert name in output
    assert "alpha, required" in output
    assert "base_options={}" in output
