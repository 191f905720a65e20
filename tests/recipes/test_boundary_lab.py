"""The boundary laboratory: the parts by hand-computed cases, and one tiny comparison as a user runs it."""

import json
import re
import subprocess
import sys
from itertools import combinations

import pytest

NAME = "boundary_lab"
TINY = {
    "model": {"width": 16, "num_layers": 1, "num_heads": 2},
    "base": {
        "num_steps": 20,
        "batch_size": 64,
        "learning_rate": 0.002,
        "operator_weights": {"+": 1.0, "-": 0.3, "*": 0.3},
    },
    "train": {
        "num_steps": 2,
        "prompts_per_step": 4,
        "group_size": 4,
        "max_gradient_norm": 1.0,
        "min_solutions": 6,
    },
    "evaluate": {"num_problems": 8, "num_samples": 256},
    "family": "tuning",
    "methods": ["grpo", "agpo"],
    "sweep_delta": [2.0],
    "sweep_negative_reward": [-0.5],
    "seeds": [1, 2],
    "tuning_seeds": [0],
    "num_bootstrap": 50,
}


@pytest.fixture(scope="module")
def tiny(request, tmp_path_factory):
    """Folder with the results of one tiny comparison, tuned from scratch; and what the command printed."""
    folder = tmp_path_factory.mktemp("lab")
    (folder / "settings.json").write_text(json.dumps(TINY))
    recipe = request.config.rootpath / "recipes" / NAME
    command = [sys.executable, recipe, "--stage", "all", "--out", folder / "out"]
    command += ["--settings", folder / "settings.json", "--workers", "1"]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return folder, done.stdout


def again(folder):
    """Arguments of a second command on the results of the first."""
    out = folder / "out"
    return "--settings", folder / "settings.json", "--tuned", out / "tuned.json", "--out", out, "--workers", "1"


def test_verifier_follows_the_pocket_calculator(ask_recipe):
    cases = {
        "5-2+6*3": True,  # ((5 - 2) + 6) * 3
        "6*5-3": True,
        "5*6-3": True,
        "3*5+6+2": False,  # 23
        "6*5-3+": False,  # an operator without a tile
        "6*6-5-2": False,  # two sixes, and there is one
        "27": False,
        "6": False,
        "": False,
        "65-3": False,
        "0+5*6-3": False,  # 27, but there is no tile 0
        "-5*6-3": False,
        "5*6-3.+2": True,  # what follows the end is not read
    }
    code = f"""
import task, torch
answers = torch.tensor([task.encode(text) for text in {list(cases)}])
prompt = torch.tensor([task.Problem((2, 3, 5, 6), 27, ()).prompt])
answer = task.is_right(prompt.expand(len(answers), -1), answers).tolist()
"""
    assert ask_recipe(NAME, code) == list(cases.values())


def test_verifier_agrees_with_the_list_of_solutions_on_damaged_answers(ask_recipe):
    code = """
import random, task, torch
draw = random.Random(3)
problems = task.family("tuning")[0][:1000]
answers = [task.encode(draw.choice(problem.solutions)) for problem in problems]
for tokens in answers[::2]:
    tokens[draw.randrange(task.ANSWER_LENGTH)] = draw.randrange(len(task.VOCABULARY))
verdicts = task.is_right(task.prompts(problems), torch.tensor(answers)).tolist()
listed = [task.decode(tokens) in problem.solutions for tokens, problem in zip(answers, problems)]
answer = [verdicts == listed, sum(listed)]
"""
    agree, num_right = ask_recipe(NAME, code)
    assert agree
    assert 500 < num_right < 1000


def test_families_and_their_parts_are_disjoint(ask_recipe):
    code = """
import task
parts = [part for name in task.FAMILIES for part in task.family(name)]
texts = [[problem.text for problem in part] for part in parts]
tiles = [[str(problem.tiles) for part in task.family(name) for problem in part] for name in task.FAMILIES]
answer = [texts, tiles]
"""
    texts, tiles = ask_recipe(NAME, code)
    assert len({text for part in texts for text in part}) == sum(map(len, texts))
    assert not set(tiles[0]) & set(tiles[1])


def test_pass_at_k_equals_the_mean_over_all_subsets(ask_recipe):
    found = ask_recipe(
        NAME, "from evaluate import pass_at_k; answer = [[pass_at_k(c, 6, k) for k in (1, 2, 5, 6)] for c in range(7)]"
    )
    for num_correct in range(7):
        samples = [i < num_correct for i in range(6)]
        for k, value in zip((1, 2, 5, 6), found[num_correct], strict=True):
            subsets = [any(subset) for subset in combinations(samples, k)]
            assert value == pytest.approx(sum(subsets) / len(subsets))


def test_sampling_with_kept_keys_draws_what_the_full_model_would_draw(ask_recipe):
    code = """
import torch
from policy import Policy, answer_logits, answer_mask, sample
torch.manual_seed(0)
policy = Policy(num_tokens=7, max_length=12, width=16, num_layers=2, num_heads=2)
prompts, uniform = torch.randint(7, (3, 4)), torch.rand(12, 8)
answers = sample(policy, prompts, uniform, end=6)
with torch.no_grad():
    cumulative = answer_logits(policy, prompts.repeat_interleave(4, 0), answers).softmax(-1).cumsum(-1)
drawn = (cumulative < uniform[:, :, None] * cumulative[:, :, -1:]).sum(-1)
mask = answer_mask(answers, end=6)
answer = [bool((drawn == answers)[mask].all()), int(mask.sum()), bool((answers[~mask] == 6).all())]
"""
    equal, num_tokens, rest_is_end = ask_recipe(NAME, code)
    assert equal
    assert rest_is_end
    assert 12 < num_tokens < 96


def test_references_match_hand_computed_values(ask_recipe):
    code = """
import torch
from methods import advantages
rewards, mask = torch.tensor([0., 1, 0, 0, 1, 0, 1, 0]), torch.ones(8, 1)
ids = torch.zeros(8).long()
answer = {name: advantages(name, {}, rewards, mask, ids)[:2, 0].tolist() for name in ("grpo", "dr_grpo", "rloo")}
"""
    found = ask_recipe(NAME, code)
    # 3 of 8 right: mean 0.375, sample deviation 0.517549; leave-one-out is 8/7 of the centred reward
    assert found["grpo"] == pytest.approx([-0.724567, 1.207612], abs=2e-6)
    assert found["dr_grpo"] == pytest.approx([-0.375, 0.625])
    assert found["rloo"] == pytest.approx([-0.428571, 0.714286], abs=2e-6)


def test_expected_updates_differ_by_factors_only(ask_recipe):
    code = """
import torch
from itertools import product
from methods import advantages
chance, right = torch.tensor([0.5, 0.3, 0.2]).double(), torch.tensor([0.0, 1.0, 1.0])
groups = torch.tensor(list(product(range(3), repeat=3)))  # all 27 groups of three answers
ids, ones = torch.arange(27).repeat_interleave(3), torch.ones(81, 1)
weight = chance[groups].prod(dim=1)[:, None, None] / 3
score = torch.eye(3).double()[groups] - chance  # gradient of log-probability by the logits

def expected(name, options):
    found = advantages(name, options, right[groups].flatten(), ones, ids).view(27, 3, 1)
    return (weight * found * score).sum(dim=(0, 1))

soft = {"delta": 1.0, "negative_reward": 0.0}
answer = {name: expected(name, {}).tolist() for name in ("psr", "nsr", "w_reinforce", "dr_grpo", "rloo", "agpo")}
answer["agpo without R"] = expected("agpo", soft).tolist()
"""
    found = ask_recipe(NAME, code)
    # gradient of the success rate 0.5: chance * (right - 0.5)
    gradient = [-0.25, 0.15, 0.1]
    factors = {"psr": 1, "nsr": 1, "w_reinforce": 1.1, "rloo": 1, "dr_grpo": 2 / 3}
    for name, factor in factors.items():
        assert found[name] == pytest.approx([factor * part for part in gradient], abs=1e-6)
    gap = [full - soft for full, soft in zip(found["agpo"], found["agpo without R"], strict=True)]
    assert gap == pytest.approx(gradient, abs=1e-6)


def test_intervals_are_paired_and_hold_the_mean(ask_recipe):
    code = """
import numpy as np
from intervals import Bootstrap
values = np.random.default_rng(0).random((4, 30))
bootstrap = Bootstrap(4, 30, num_resamples=200)
answer = [bootstrap.interval(values), bootstrap.interval((values + 0.25) - values)]
"""
    (mean, low, high), gap = ask_recipe(NAME, code)
    assert low < mean < high
    assert gap == pytest.approx([0.25, 0.25, 0.25])


def test_one_command_tunes_compares_and_writes_everything(tiny):
    folder, printed = tiny
    assert "pass@256 of AGPO minus GRPO, at least 0.05" in printed
    summary = json.loads((folder / "out" / "summary.json").read_text())
    assert list(summary["arms"]) == ["base", "grpo", "agpo", "agpo δ=2 R=-0.5"]
    assert summary["arms"]["agpo"]["figures"]["all_wrong_share"][0] <= 1
    assert "| AGPO δ=2 R=-0.5 |" in (folder / "out" / "table.md").read_text()
    html = (folder / "out" / "index.html").read_text()
    assert not re.findall(r'(?:src|href)="(?!data:|#)', html.replace("xlink:href", "href"))  # nothing is loaded
    tuned = json.loads((folder / "out" / "tuned.json").read_text())["methods"]
    assert {len(entry["scores"]) for entry in tuned.values()} == {3}


def test_a_second_command_runs_nothing_and_writes_the_same_digits(tiny, run_recipe):
    folder, _ = tiny
    before = {file: file.stat().st_mtime_ns for file in (folder / "out" / "runs").iterdir()}
    summary = (folder / "out" / "summary.json").read_text()
    arguments = again(folder)
    assert "0 bases and 0 runs to do, 8 runs done" in run_recipe(NAME, *arguments, "--dry-run")
    run_recipe(NAME, *arguments)
    assert {file: file.stat().st_mtime_ns for file in (folder / "out" / "runs").iterdir()} == before
    assert (folder / "out" / "summary.json").read_text() == summary


def test_a_run_that_is_repeated_gives_the_same_digits(tiny, run_recipe):
    folder, _ = tiny
    file = next((folder / "out" / "runs").glob("tuning-s2-agpo-*.json"))
    first = json.loads(file.read_text())
    file.unlink()
    run_recipe(NAME, *again(folder))
    second = json.loads(file.read_text())
    assert second.pop("seconds").keys() == first.pop("seconds").keys()
    assert second == first


def test_a_misspelt_setting_is_refused_by_name(ask_recipe, tmp_path):
    file = tmp_path / "settings.json"
    file.write_text(json.dumps({**TINY, "sweep_dleta": [1.0]}))
    code = f"""
from pathlib import Path
from settings import load
try:
    load(Path({str(file)!r}))
except ValueError as error:
    answer = str(error)
"""
    message = ask_recipe(NAME, code)
    assert "'sweep_dleta'" in message
    assert "sweep_delta" in message


def test_a_misspelt_option_of_a_method_is_refused_by_name(ask_recipe):
    code = """
import torch
from methods import advantages
try:
    advantages("agpo", {"dleta": 1.0}, torch.zeros(2), torch.ones(2, 1), torch.zeros(2).long())
except ValueError as error:
    answer = str(error)
"""
    assert "did you mean 'delta'" in ask_recipe(NAME, code)


def test_the_committed_files_belong_together(ask_recipe):
    code = """
import json
import tuning
from settings import FULL, HERE, QUICK, TUNED, digest, load
full, quick, tuned = load(FULL), load(QUICK), json.loads(TUNED.read_text())
results = json.loads((HERE / "results.json").read_text())
answer = [set(quick.methods) <= set(full.methods) <= set(tuned["methods"]), quick.family, full.family,
          results["settings_hash"] == digest(full.model_dump()), results["tuned_hash"] == digest(tuned),
          {len(entry["scores"]) for entry in tuned["methods"].values()} == {len(tuning.LEARNING_RATES)}]
"""
    assert ask_recipe(NAME, code) == [True, "tuning", "reporting", True, True, True]
