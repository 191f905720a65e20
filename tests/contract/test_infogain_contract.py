"""Information gain as a package: cheap to import, numpy only, nothing unsafe, every matcher keeps the contract."""

import ast
import re
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from gainful.builtin import MATCHERS
from gainful.cli import app
from gainful.infogain import JudgeOptions, Missing, SharedJudge, make_judge
from gainful.infogain.records import Trajectory

PAIRS = [("paris", "Paris"), ("paris", "lyon"), ("the city of paris", "paris"), ("", "paris"), ("...", "...")]


def sources(repository):
    return sorted((repository / "plugins/gainful/infogain").glob("*.py"))


def test_importing_brings_in_no_model_no_server_and_no_database():
    unwanted = {"torch", "transformers", "sqlite3", "urllib.request", "http.client", "typer", "rich", "pluggy"}
    code = f"import sys; import gainful.infogain; print(*sorted({unwanted!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def nodes(repository, kind):
    for path in sources(repository):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, kind):
                yield path, node


def test_nothing_is_unpickled_or_evaluated_and_nothing_is_printed_or_logged(repository):
    names = {node.id for _, node in nodes(repository, ast.Name)}
    modules = {alias.name for _, node in nodes(repository, ast.Import) for alias in node.names}
    modules |= {node.module for _, node in nodes(repository, ast.ImportFrom)}
    assert not names & {"eval", "exec", "compile", "print"}
    assert not modules & {"pickle", "marshal", "shelve", "logging", "warnings"}


def test_no_branch_for_a_missing_value_returns_a_number(repository):
    """What is missing is passed on: a test for it, in any file, never leads straight to a constant."""
    branches = [
        node.body
        for _, node in nodes(repository, ast.If)
        if "Missing)" in ast.unparse(node.test) and "not isinstance" not in ast.unparse(node.test)
    ]
    returned = [
        node.value
        for body in branches
        for statement in body
        for node in ast.walk(statement)
        if isinstance(node, ast.Return)
    ]
    assert len(branches) > 10
    assert not any(isinstance(value, ast.Constant) and isinstance(value.value, int | float) for value in returned)


@pytest.mark.parametrize("name", [name for name, *_, extra in MATCHERS if extra is None and name != "openai"])
def test_a_matcher_keeps_the_contract(name):
    judge = make_judge(JudgeOptions(type=name))
    values = judge.entail("q", PAIRS)
    assert values == judge.judge.entail("q", PAIRS)
    assert all(isinstance(value, Missing) or 0 <= value <= 1 for value in values)
    assert values[:2] == [1.0, 0.0]
    assert judge.entail("q", []) == []
    assert judge.name
    assert judge.judge.revision


def test_a_third_partys_matcher_is_chosen_by_name(monkeypatch):
    from gainful import catalog as catalog_module
    from gainful.hookspecs import hookimpl

    class Yes:
        name, revision = "acme_yes", "1"

        def __init__(self, options):
            self.threshold = options.threshold

        def entail(self, question, pairs):
            return [1.0] * len(pairs)

    class Plugin:
        @hookimpl
        def register_matchers(self, register):
            register("acme_yes", Yes, source="test")

    found = catalog_module.build_catalog([Plugin()])
    monkeypatch.setattr(catalog_module, "catalog", lambda: found)
    judge = make_judge(JudgeOptions(type="acme_yes"))
    assert isinstance(judge, SharedJudge)
    assert judge.entail("q", [("a", "b")]) == [1.0]


RECIPE = "recipes/infogain_offline"


def test_the_recipe_prints_what_it_says(repository, tmp_path):
    text = (repository / RECIPE / "README.md").read_text()
    command, printed = re.findall(r"^```\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)[:2]
    arguments = command.split()[1:]
    arguments[arguments.index("--in") + 1] = str(repository / arguments[arguments.index("--in") + 1])
    for option in ("--out", "--html"):
        arguments[arguments.index(option) + 1] = str(tmp_path / arguments[arguments.index(option) + 1])
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert done.stdout == printed
    assert (tmp_path / "gains.html").read_text().count("<section") == 4


def test_the_input_that_the_recipe_shows_is_one(repository):
    text = (repository / RECIPE / "README.md").read_text()
    Trajectory.model_validate_json(re.findall(r"^```json\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)[0])
