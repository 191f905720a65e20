"""The package as a whole: cheap to import, complete, and honest about its environment."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import gainful_llamaindex
from gainful.doctor import examine_host
from gainful_llamaindex import versions

PACKAGE = Path(gainful_llamaindex.__file__).parent


def test_importing_it_imports_no_host():
    unwanted = {"torch", "pydantic", "llama_index", "gainful.budget"}
    code = f"import sys, gainful_llamaindex; print(*{unwanted!r} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize("name", gainful_llamaindex.__all__)
def test_every_public_name_exists_where_the_table_says(name):
    assert getattr(gainful_llamaindex, name).__module__.startswith("gainful_llamaindex")


def test_a_name_stays_what_it_is_after_all_modules_are_imported():
    for path in PACKAGE.glob("*.py"):
        importlib.import_module(f"gainful_llamaindex.{path.stem}")
    assert callable(gainful_llamaindex.guard)


def test_an_unknown_name_is_an_attribute_error_with_the_known_ones():
    with pytest.raises(AttributeError, match=r"no attribute 'gaurd'; it has: .*guard"):
        gainful_llamaindex.gaurd  # noqa: B018


def test_nothing_holds_more_than_two_ideas():
    for path in PACKAGE.glob("*.py"):
        assert len(path.read_text().splitlines()) <= 225, path


def test_the_doctor_finds_this_environment_healthy():
    found = list(examine_host("llamaindex"))
    assert [finding for finding in found if finding.state == "problem"] == []
    assert {"guard", "OpenAI", "BM25"} <= {finding.subject for finding in found}


def test_the_doctor_names_versions_that_do_not_fit(monkeypatch):
    monkeypatch.setattr(versions, "version", lambda name: {"pydantic": "2.14.3", "llama-index-core": "0.14.25"}[name])
    assert versions.known_problems() == [
        ("llama-index-core 0.14.25 with pydantic 2.14.3 loses chat memory between turns", "pip install 'pydantic<2.14'")
    ]
    monkeypatch.setattr(versions, "version", lambda name: {"pydantic": "2.13.5", "llama-index-core": "0.14.25"}[name])
    assert versions.known_problems() == []
