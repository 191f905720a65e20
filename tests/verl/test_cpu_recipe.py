"""Stock verl really trains with our estimators on this machine, saves, resumes and learns."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

RECIPE = "recipes/verl_agpo_cpu/train.py"
NUM_STEPS = 40

pytestmark = pytest.mark.slow


def train(repository, *arguments):
    """Run the recipe's command as a user does; its output is shown if it fails."""
    command = [sys.executable, RECIPE, *map(str, arguments)]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=540)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def agpo_run(tmp_path_factory, bases):
    """A run of stock main_ppo with algorithm.adv_estimator=agpo: folder and summary."""
    out = tmp_path_factory.mktemp("agpo") / "run"
    repository = Path(__file__).parents[2]
    options = ("--estimator", "agpo", "--steps", NUM_STEPS, "--validate-every", NUM_STEPS, "--save-every", NUM_STEPS)
    train(repository, *options, "--bases", bases, "--out", out)
    return out, json.loads((out / "summary.json").read_text())


def test_agpo_ends_with_more_right_answers_than_it_began_with(agpo_run):
    _, summary = agpo_run
    assert summary["num_steps"] == NUM_STEPS
    assert [point["step"] for point in summary["training"]] == list(range(1, NUM_STEPS + 1))
    assert summary["after"]["success_rate"] > summary["before"]["success_rate"]
    assert set(summary["after"]["pass_at"]) == {"1", "2", "4", "8", "16"}


def test_its_log_shows_the_diagnostics_of_every_update(agpo_run):
    out, summary = agpo_run
    assert len(summary["diagnostics"]) == NUM_STEPS
    log = (out / "attempts/1/log.txt").read_text()
    assert f"gainful.verl: agpo update {NUM_STEPS}: gainful/adv/net_seq=" in log
    for update, point in zip(summary["diagnostics"], summary["training"], strict=True):
        assert update["gainful/adv/success_rate"] == pytest.approx(point["reward_mean"], abs=1e-4)
        assert update["gainful/adv/group_size_min"] == update["gainful/adv/group_size_max"] == 8
        assert update["gainful/adv/all_wrong_share"] == pytest.approx(point["all_wrong_share"], abs=1e-4)


def test_the_sampler_holds_the_weights_that_were_just_trained(agpo_run):
    assert agpo_run[1]["sampler_actor_gap_max"] < 1e-4


def test_the_run_resumes_with_verls_own_agent_loops_and_a_turn_level_method(agpo_run, repository, bases):
    out, _ = agpo_run
    options = ("--estimator", "turn_credit", "--steps", NUM_STEPS + 2, "--validate-every", NUM_STEPS + 2)
    stock = "actor_rollout_ref.rollout.agent.agent_loop_manager_class=null"
    once = "actor_rollout_ref.rollout.val_kwargs.n=1"
    train(repository, *options, "--bases", bases, "--out", out, "--resume", stock, once)
    resumed = json.loads((out / "summary.json").read_text())
    assert [point["step"] for point in resumed["training"]] == list(range(1, NUM_STEPS + 3))
    records = [json.loads(line) for line in (out / "attempts/2/metrics.jsonl").read_text().splitlines()]
    assert min(record["step"] for record in records if "critic/score/mean" in record["data"]) == NUM_STEPS + 1
    log = (out / "attempts/2/log.txt").read_text()
    assert "gainful.verl: turn_credit update 2: gainful/adv/net_seq=" in log
