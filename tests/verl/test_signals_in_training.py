"""Stock verl really trains with every estimator, with agent loops of two turns that leave signals in their output."""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from gainful.builtin import ESTIMATORS

RECIPE = "recipes/verl_agpo_cpu/train.py"
LOOP = Path(__file__).parent / "two_turns"
TWO_TURNS = (
    "data.train_batch_size=4",
    "data.max_response_length=24",
    "actor_rollout_ref.actor.ppo_mini_batch_size=4",
    "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=16",
    "actor_rollout_ref.rollout.n=4",
    "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=16",
    "actor_rollout_ref.rollout.agent.agent_loop_manager_class=null",
    "actor_rollout_ref.rollout.val_kwargs.n=1",
    f"actor_rollout_ref.rollout.agent.agent_loop_config_path={LOOP / 'agents.yaml'}",
    "actor_rollout_ref.rollout.agent.default_agent_loop=two_turns",
)

pytestmark = pytest.mark.slow


def train(repository, out, bases, *overrides, estimator="agpo", steps=2, external=""):
    """A run of stock main_ppo whose agent loop uses a tool; returns its log and the metrics of its steps."""
    command = [sys.executable, RECIPE, "--estimator", estimator, "--steps", steps, "--validate-every", steps]
    done = subprocess.run(
        [*map(str, (*command, "--out", out, "--bases", bases, *TWO_TURNS, *overrides))],
        cwd=repository,
        env={**os.environ, "PYTHONPATH": str(LOOP), "VERL_USE_EXTERNAL_MODULES": external},
        capture_output=True,
        text=True,
        timeout=540,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    records = [json.loads(line)["data"] for line in (out / "metrics.jsonl").read_text().splitlines()]
    return (out / "attempts/1/log.txt").read_text(), [record for record in records if "actor/grad_norm" in record]


def updates(log):
    """How often each estimator was called, as the log of the process says in which verl computes advantages."""
    return Counter(re.findall(r"gainful\.verl: (\w+) update \d+: gainful/adv/net_seq=\S+", log))


def test_every_estimator_trains(tmp_path, repository, bases):
    mode, num_steps = "every_estimator", len(ESTIMATORS)
    override = f"trainer.v1.trainer_mode={mode}"
    log, steps = train(repository, tmp_path / "run", bases, override, steps=num_steps, external=mode)
    assert updates(log) == dict.fromkeys(ESTIMATORS, 1)
    assert len(steps) == num_steps
    assert sum(step["actor/grad_norm"] > 0 for step in steps) > num_steps / 2
    for step in steps:
        assert step["gainful/adv/success_rate"] == pytest.approx(step["critic/score/mean"], abs=1e-4)
        assert step["gainful/adv/group_size_min"] == step["gainful/adv/group_size_max"] == 4


@pytest.mark.every_release
def test_a_user_names_mode_estimator_and_loss(tmp_path, repository, bases):
    overrides = "trainer.v1.trainer_mode=gainful_sync", "actor_rollout_ref.actor.policy_loss.loss_mode=aspo_flip"
    log, steps = train(repository, tmp_path / "run", bases, *overrides, estimator="gigpo")
    assert updates(log) == {"gigpo": 2}
    assert all(step["actor/pg_clipfrac_lower"] == 0 for step in steps)  # one update a batch: every ratio is 1
