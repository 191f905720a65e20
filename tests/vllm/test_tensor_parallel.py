"""Two ranks, each with its own heads, keys and race; what is taken over is what both hold."""

import json
import os
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_two_ranks_stream_what_they_saved(repository, tmp_path):
    script = repository / "tests/fixtures/tiny_vllm/two_ranks.py"
    environment = {**os.environ, "VLLM_ENABLE_V1_MULTIPROCESSING": "1"}
    done = subprocess.run(
        [sys.executable, script, tmp_path], capture_output=True, text=True, env=environment, timeout=400
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (answers,) = (line for line in done.stdout.splitlines() if line.startswith("ANSWERS "))
    (expected, computed), *others = json.loads(answers.removeprefix("ANSWERS "))
    assert computed["streamed_tokens"] == 0
    for tokens, report in others:
        assert tokens == expected, report
    streamed = {report["mode"] for _, report in others if report["streamed_tokens"]}
    assert streamed == {"two_pointer", "async_prefix", "layerwise"}
