"""The served agents under load before a real vLLM server: budgets hold by the server's own count, nothing hangs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PYTHON = REPOSITORY / ".venvs/vllm/bin/python"
EXPECTED = "vllm" in os.environ.get("GAINFUL_EXPECT_HOSTS", "").split(",")

pytestmark = [
    pytest.mark.vllm_http,
    pytest.mark.skipif(
        not PYTHON.exists() and not EXPECTED, reason=f"{PYTHON} is not there: make env-vllm, then make test-vllm-http"
    ),
]


def test_no_budget_is_passed_and_no_account_is_wrong_under_a_hostile_load(tmp_path):
    command = [sys.executable, REPOSITORY / "recipes/bench/agent_load", "--quick", "--out", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=580)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["broken"] == []
    hostile, killed = result["seen"]["hostile users"], result["seen"]["the model server is killed"]
    # the load was what it says: not everything was answered, and vLLM did write for users who stayed
    assert hostile["users who went away in the middle"] > 0
    assert hostile["model calls that were broken off"] > 0
    assert hostile["burst: sent away with 503"] > 0
    assert 0 < hostile["tokens that the server wrote"] <= hostile["tokens that were charged"]
    assert any(name.startswith("status 502") for name in killed)
    assert len(result["rows"]) == 8
