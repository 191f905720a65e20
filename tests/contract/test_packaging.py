"""What is installed: public names, entry points, the wheel, a third party's plug-in."""

import importlib
import json
import pkgutil
import subprocess
import sys
import zipfile
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import gainful
from gainful.hookspecs import hookspec
from gainful.loading import HOOKS

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


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, check=True, capture_output=True, cwd=Path(__file__).parents[2])
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_four_packages_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    roots = {name.partition("/")[0] for name in names}
    assert {root for root in roots if not root.endswith(".dist-info")} == {
        "gainful",
        "gainful_verl",
        "gainful_llamaindex",
        "gainful_vllm",
    }
    needed_files = (
        "gainful/py.typed",
        "gainful_verl/hydra_env/hydra/env/default.yaml",
        "gainful_verl/configs/search_tool.yaml",
    )
    for needed in needed_files:
        assert needed in names
    assert any(name.endswith("licenses/LICENSE") for name in names)


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
