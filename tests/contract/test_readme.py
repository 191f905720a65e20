"""Every code block of the README does what it says."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README.read_text(), flags=re.MULTILINE | re.DOTALL)


def blocks(language):
    return [body for found, body in BLOCKS if found == language]


@pytest.mark.parametrize("code", blocks("python"))
def test_python_block_runs(code, tmp_path):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    expected = re.findall(r"#> (.*)", code)
    assert done.stdout.splitlines() == expected
