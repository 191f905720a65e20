"""What docs/ and CONTRIBUTING.md say is so: code runs, plug-ins install, generated parts and links are current."""

import json
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import tomllib
from typer.testing import CliRunner

from gainful.cli import app
from gainful.hosts import HOSTS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = {str(path.relative_to(ROOT)): path for path in [*sorted(DOCS.rglob("*.md")), ROOT / "CONTRIBUTING.md"]}
OURS = {name: path.read_text() for name, path in PAGES.items() if not path.is_symlink()}
BLOCK = re.compile(r'^```(\w+)(?: title="([^"\n]+)")?\n(.*?)^```$', flags=re.MULTILINE | re.DOTALL)
BLOCKS = [(name, *block) for name, text in OURS.items() for block in BLOCK.findall(text)]
PLUGINS = ["acme_gainful", "acme_budget", "acme_judge", "acme_store"]


def blocks(language, label=None):
    return [(name, code) for name, found, title, code in BLOCKS if found == language and label in (None, title)]


def test_every_block_is_of_a_kind_that_some_test_runs():
    assert len(BLOCKS) == sum(text.count("\n```") for text in OURS.values()) / 2
    labels = {*(f"{name}.py" for name in PLUGINS), *(f"test_{name}.py" for name in PLUGINS)}
    known = {("python", label) for label in labels} | {("toml", f"{name}/pyproject.toml") for name in PLUGINS}
    known |= {("python", ""), ("python", "needs LlamaIndex"), ("sh", ""), ("sh", "needs vLLM"), ("toml", "")}
    assert {(language, title) for _, language, title, _ in BLOCKS} == known


@pytest.mark.parametrize(("page", "code"), blocks("python", ""))
def test_python_prints_what_the_page_says(page, code, tmp_path):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == re.findall(r"^# prints (.*)", code, flags=re.MULTILINE)


def test_what_needs_a_host_is_what_the_readme_says_and_its_host_tests():
    """tests/<host>/test_readme.py runs the blocks of the README."""
    readme = (ROOT / "README.md").read_text()
    shown = [code for _, language, title, code in BLOCKS if title.startswith("needs ")]
    shown += [code for _, code in blocks("sh", "") if "main_ppo" in code]
    assert len(shown) >= 4
    for code in shown:
        missing = [line for line in code.splitlines() if line and line not in readme]
        assert missing == []


@pytest.mark.parametrize("name", PLUGINS)
def test_the_plugin_of_the_page_is_the_one_that_tests_install(name):
    folder = ROOT / "tests/fixtures" / name
    assert [code for _, code in blocks("python", f"{name}.py")] == [(folder / f"{name}.py").read_text()]
    assert [code for _, code in blocks("toml", f"{name}/pyproject.toml")] == [(folder / "pyproject.toml").read_text()]


@pytest.mark.parametrize("name", PLUGINS)
def test_the_test_of_the_page_passes_where_the_plugin_is_installed(with_acme, name):
    [(_, code)] = blocks("python", f"test_{name}.py")
    assert with_acme("-c", code) == (0, "")


def test_doctor_lists_what_the_plugins_offer_and_tries_a_third_partys_store(with_acme, tmp_path):
    status, output = with_acme("-m", "gainful", "doctor", "--json", "--store", f"acme://{tmp_path}/kv.sqlite")
    found = json.loads(output)
    assert status == 0
    offered = {item["subject"]: item["detail"] for item in found["plug-ins"]}
    for plugin, name in [("acme", "acme_centred"), ("acme_budget", "acme_frugal"), ("acme_judge", "acme_words")]:
        assert offered[plugin].endswith(f": {name}")
    [live] = found["live"]
    assert (live["state"], live["subject"]) == ("ok", f"acme://{tmp_path}/kv.sqlite")


def test_generated_parts_are_up_to_date():
    done = subprocess.run([sys.executable, ".ci/docs.py", "--check"], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_every_generated_part_was_written():
    for name, text in OURS.items():
        assert text.count(": written by .ci/docs.py -->") == text.count("<!-- end -->"), name
        assert not re.search(r"docs\.py -->\n<!-- end", text), name


def test_the_map_of_modules_is_the_tree():
    """Every package and module right below the core, and the package of each adapter, with what each one is."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    core, *adapters = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    tree = {f"{path.parent.relative_to(ROOT)}" for path in (ROOT / core).glob("*/__init__.py")} | {*adapters}
    tree |= {str(path.relative_to(ROOT)) for path in (ROOT / core).glob("*.py") if not path.name.startswith("_")}
    rows = re.findall(r"^\| `([\w/.]+)` \| (.*) \|$", OURS["CONTRIBUTING.md"], flags=re.MULTILINE)
    assert sorted(path for path, _ in rows) == sorted(tree)
    assert all(what for _, what in rows)


def test_paths_that_contributors_are_sent_to_exist():
    page = OURS["CONTRIBUTING.md"]
    paths = set(re.findall(r"`((?:\.ci|docs|plugins|recipes|tests)/[\w/.]*)`", page))
    assert {"tests/unit", "tests/contract", "recipes/bench"} <= paths
    assert [path for path in sorted(paths) if not (ROOT / path).exists() and not (DOCS / path).exists()] == []


def test_every_folder_of_tests_is_on_the_map():
    folders = {path.name for path in (ROOT / "tests").iterdir() if any(path.glob("test_*.py"))}
    named = set(re.findall(r"`tests/(\w+)`", OURS["CONTRIBUTING.md"])) | {*HOSTS}
    assert folders - named == set()


def test_links_lead_somewhere():
    for name, path in PAGES.items():
        for link in re.findall(r"\]\((?!https?://)([^)#\s]+)\)", path.read_text()):
            assert (path.parent / link).exists(), f"{name}: {link}"


def test_every_page_is_in_the_navigation():
    navigation = set(re.findall(r"\S+\.md", (ROOT / "mkdocs.yml").read_text()))
    assert navigation == {str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")}


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text()
    for name, text in OURS.items():
        for target in re.findall(r"^make (\S+)", text, flags=re.MULTILINE):
            assert re.search(rf"^[^\t\n]*\b{target}\b[^\n]*:", makefile, flags=re.MULTILINE), f"{name}: make {target}"


def test_commands_and_their_options_exist():
    said = [code for _, code in blocks("sh")] + re.findall(r"`(gainful [^`]+)`", "\n".join(OURS.values()))
    commands = {" ".join(line.split()) for code in said for line in code.splitlines() if line.startswith("gainful ")}
    assert commands
    for command in commands:
        words = [word for word in command.split()[1:] if re.fullmatch(r"[a-z]+", word)]
        names = words[:2] if words[0] in ("sparkv", "retrieve") else words[:1]
        help_text = CliRunner(env={"COLUMNS": "200"}).invoke(app, [*names, "--help"])
        assert help_text.exit_code == 0, command
        for option in re.findall(r"--[a-z-]+", command):
            assert option in help_text.output, f"{command}: {option}"


def test_comparisons_repeat_no_figure_and_name_sections_that_exist():
    page = OURS["docs/comparisons.md"]
    assert re.findall(r"(?<![A-Za-z])\d[\d.,]*%?", page) == []
    headings = re.findall(r"^#+ (.*)", (ROOT / "recipes/bench/RESULTS.md").read_text(), flags=re.MULTILINE)
    named = [row.split(" | ")[2] for row in page.splitlines() if row.startswith("| ") and row.endswith(". |")]
    assert len(named) >= 8
    assert set(named) <= set(headings)


@pytest.mark.skipif(not find_spec("gainful_vllm.options"), reason="this release has no connector")
def test_the_connectors_configuration_is_one_that_it_takes():
    from gainful_vllm.options import read_options

    [(_, code)] = [(name, code) for name, code in blocks("sh") if "kv-transfer-config" in code]
    config = json.loads(re.search(r"'(\{.*\})'", code, flags=re.DOTALL)[1])
    assert config["kv_load_failure_policy"] == "recompute"
    assert read_options(config["kv_connector_extra_config"]).mode == "auto"
