"""What is installed: public names, entry points, the wheel, a third party's plug-in."""

import importlib
import json
import pkgutil
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import gainful
from gainful.hookspecs import hookspec
from gainful.hosts import HOSTS
from gainful.loading import HOOKS

ROOT = Path(__file__).parents[2]
MODULES = [
    module.name for module in pkgutil.walk_packages(gainful.__path__, "gainful.") if "__main__" not in module.name
]


@pytest.mark.parametrize("name", ["gainful", *MODULES])
def test_all_lists_what_exists(name):
    module = importlib.import_module(name)
    assert module.__doc__
    assert sorted(module.__all__) == sorted(set(module.__all__))
    for public in module.__all__:
        assert getattr(module, public) is not None


def test_every_hook_is_specified_and_documented():
    specified = {name for name in vars(importlib.import_module("gainful.hookspecs")) if name.startswith("register_")}
    assert specified == set(HOOKS.values())
    for name in specified:
        hook = getattr(importlib.import_module("gainful.hookspecs"), name)
        assert hook.__doc__
        assert hasattr(hook, f"{hookspec.project_name}_spec")


def test_hosts_find_us_by_entry_point():
    found = {
        group: {point.value for point in entry_points(group=group)}
        for group in ("verl.plugins", "vllm.general_plugins", "gainful")
    }
    assert "gainful_verl.autoload" in found["verl.plugins"]
    assert "gainful_vllm:register" in found["vllm.general_plugins"]
    assert "gainful.builtin" in found["gainful"]


def test_archives_are_built_twice_with_equal_bytes_and_hold_the_packages_and_nothing_else():
    done = subprocess.run([sys.executable, ".ci/release.py", "build", "wheel", "sdist"], capture_output=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout.decode()


def test_the_release_is_held_back_by_a_file_too_many_and_by_a_package_without_types(script):
    release = script("release")
    files = release.package_files()
    assert {"plugins/gainful/py.typed", "verl_ext/gainful_verl/configs/search_tool.yaml"} <= files
    with pytest.raises(release.NotReadyError, match=r"missing: \[\]; too much: \['x'\]"):
        release.same(files | {"x"}, files)
    assert all((ROOT / package / "py.typed").exists() for package in release.PACKAGES)


def test_the_release_is_held_back_by_a_change_log_that_does_not_know_it(script, monkeypatch, tmp_path):
    release = script("release")
    monkeypatch.setattr(release, "ROOT", tmp_path)
    log = tmp_path / "CHANGELOG.md"
    heading = f"## {release.VERSION} (2026-01-02)\n"
    for text, missing in [("## Unreleased\n", "has no heading"), (heading, "which hosts")]:
        log.write_text(text)
        with pytest.raises(release.NotReadyError, match=missing):
            release.version()
    log.write_text(f"{heading}\n### Hosts\n")
    assert release.version() == release.VERSION


def test_licences_of_dependencies_are_listed():
    done = subprocess.run([sys.executable, ".ci/licences.py", "--check"], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_an_unlisted_dependency_and_another_licence_are_noticed(script):
    licences = script("licences")
    listed = licences.listed(licences.PAGE.read_text())
    assert {"pydantic", "verl", "vllm", "redis"} <= set(listed)
    changed = {name: row for name, row in listed.items() if name != "verl"}
    changed["pluggy"] = (listed["pluggy"][0], "GPL-3.0")
    noticed = {"pluggy is GPL-3.0, its metadata says MIT", "verl is not listed"}
    assert noticed <= set(licences.differences(changed, listed))


def test_the_wheel_works_where_no_host_is(wheel_beside):
    wheel_beside("none")


@pytest.fixture
def wheel_smoke(script, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / ".ci"))
    yield script("wheel_smoke")
    sys.modules.pop("release")


def test_a_plain_environment_gets_the_wheel_in_place_of_this_folder(wheel_smoke):
    for name, hosts in wheel_smoke.HOSTS.items():
        lines = wheel_smoke.requirements(hosts).splitlines()
        assert not [line for line in lines if line.startswith("-e")]
        assert lines[-1].endswith(wheel_smoke.one("*.whl").name)
        extras = lines[-1].partition(" @ ")[0].removeprefix("gainful").strip("[]").split(",")
        assert "dev" not in extras
        assert {"llamaindex", "verl"} & set(hosts) <= set(extras), name


def test_files_of_this_folder_are_noticed_where_the_wheel_was_to_be_tried(wheel_smoke, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", wheel_smoke.ORIGIN, tmp_path, "gainful"], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert f"expected gainful from {tmp_path}, found it in {ROOT}" in done.stderr


@pytest.mark.parametrize("host", HOSTS)
def test_a_trial_of_a_hosts_newest_release_lifts_only_that_hosts_upper_bound(script, host, tmp_path):
    newest = script("newest")
    newest.copy(tmp_path, host)
    committed = subprocess.run(["git", "show", "HEAD:pyproject.toml"], capture_output=True, text=True, cwd=ROOT).stdout
    old, new = committed.splitlines(), (tmp_path / "pyproject.toml").read_text().splitlines()
    name, _ = newest.pinned(host, (ROOT / f".ci/{host}.latest.txt").read_text())
    changed = [line.strip() for before, line in zip(old, new, strict=True) if before != line]
    assert name in HOSTS[host].distributions
    assert len(changed) == 1
    assert f'"{HOSTS[host].distributions[0]}>=0"' in changed[0]


def test_a_third_partys_estimators_are_listed_beside_ours(with_acme):
    status, output = with_acme("-m", "gainful", "plugins", "--json")
    methods = {method["name"]: method for method in json.loads(output)["methods"]}
    assert status == 0
    assert methods["acme_centred"]["plugin"] == "acme"
    assert {"agpo", "nsr"} <= set(methods)


def test_a_third_partys_plugin_can_be_switched_off(with_acme):
    status, output = with_acme("-m", "gainful", "doctor", GAINFUL_DISABLE="acme")
    assert status == 0
    assert "switched off by GAINFUL_DISABLE" in output


def test_a_broken_third_party_is_named_by_doctor_and_takes_nothing_down(with_acme, tmp_path):
    (tmp_path / "acme_gainful.py").write_text("import no_such_module\n")
    status, output = with_acme("-m", "gainful", "doctor")
    assert status == 1
    assert "plug-in 'acme' failed to load: No module named 'no_such_module'" in output
    assert "pip install --upgrade acme-gainful" in output
    assert "in order: gainful doctor --json lists them" in output
    status, output = with_acme("-m", "gainful", "plugins", "--json")
    assert "agpo" in output
