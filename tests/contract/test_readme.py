"""Every code block of the README does what it says. Blocks that need a host are in the host's folder."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(
    r"^```(\S+)(?: (\S+))?\n(.*?)^```", (ROOT / "README.md").read_text(), flags=re.MULTILINE | re.DOTALL
)
FIXTURE = ROOT / "tests/fixtures/acme_gainful"


def blocks(language, label=""):
    return [body for found, title, body in BLOCKS if (found, title) == (language, label)]


def run(*command, cwd=ROOT):
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd)


def test_every_block_is_run_by_some_test():
    tested_here = {
        ("python", ""),
        ("python", "acme_gainful.py"),
        ("python", "test"),
        ("toml", "pyproject.toml"),
        ("sh", ""),
    }
    tested_with_hosts = {("console", ""), ("sh", ""), ("python", "llamaindex"), ("python", "vllm"), ("sh", "vllm")}
    assert {(language, title) for language, title, _ in BLOCKS} == tested_here | tested_with_hosts


@pytest.mark.parametrize("code", blocks("python"))
def test_python_block_prints_what_it_says(code, tmp_path):
    done = run(sys.executable, "-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == re.findall(r"^# prints (.*)", code, flags=re.MULTILINE)


def test_the_first_screen_ends_with_working_code():
    before = (ROOT / "README.md").read_text().split("```python", 1)[0]
    assert before.count("\n") < 12


def test_the_plugin_shown_is_the_one_that_is_installed_in_tests():
    assert blocks("python", "acme_gainful.py") == [(FIXTURE / "acme_gainful.py").read_text()]
    assert blocks("toml", "pyproject.toml") == [(FIXTURE / "pyproject.toml").read_text()]


def test_the_three_line_test_passes_where_the_plugin_is_installed(with_acme):
    assert with_acme("-c", blocks("python", "test")[0]) == (0, "")


def test_install_command_installs_this_checkout():
    assert "pip install .\n" in blocks("sh")
    done = run(sys.executable, "-m", "pip", "install", "--dry-run", "--no-deps", "--no-build-isolation", ".")
    assert done.returncode == 0, done.stderr


def test_make_targets_exist():
    targets = [line.split()[1] for block in blocks("sh") for line in block.splitlines() if line.startswith("make ")]
    assert targets == ["demo", "test"]
    for target in targets:
        assert run("make", "--dry-run", target).returncode == 0


def test_generated_tables_are_up_to_date():
    done = run(sys.executable, ".ci/readme.py", "--check")
    assert done.returncode == 0, done.stderr


def test_links_lead_somewhere():
    for link in re.findall(r"\]\((?!https?://)([^)#]+)\)", (ROOT / "README.md").read_text()):
        assert (ROOT / link).exists(), link
