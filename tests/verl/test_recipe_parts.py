"""The parts of the recipe and of the demo that need no training."""

import itertools
import json
import re
from math import comb

import pytest

RECIPE, DEMO = "recipes/verl_agpo_cpu", "recipes/demo"


@pytest.fixture
def evaluate(fresh, repository):
    """`evaluate("task.value_of('1+2+3')", "task")`: the value of an expression in the recipe's folder, through JSON."""

    def run(expression, *modules, folder=RECIPE):
        imports = "; ".join(f"import {module}" for module in ("json", *modules))
        path = f"{repository}/recipes:{repository / RECIPE}:{repository / folder}"
        status, output = fresh("-c", f"{imports}; print(json.dumps({expression}))", PYTHONPATH=path)
        assert status == 0, output
        return json.loads(output.splitlines()[-1])

    return run


def test_pass_at_k_is_the_share_of_subsets_with_a_right_answer(evaluate):
    cases = [(k, n, c) for n in (1, 4, 6) for c in range(n + 1) for k in range(1, n + 1)]
    expression = f"[run_summary.pass_at(k, num_samples=n, num_correct=c) for k, n, c in {cases}]"
    for (k, n, c), found in zip(cases, evaluate(expression, "run_summary"), strict=True):
        subsets = itertools.combinations([True] * c + [False] * (n - c), k)
        assert found == pytest.approx(sum(any(subset) for subset in subsets) / comb(n, k))


def test_the_reward_reads_answers_strictly_and_evaluates_nothing(evaluate):
    answers = [
        "9+4+1",
        "9+4+1 ",
        "9+4+01",
        "8+5+1",
        "9+4+1\n",
        "(9+4+1)",
        "9+4+1+0",
        "__import__('os').abort()",
        "",
        "٩+4+1",
    ]
    expression = f"[task.compute_score(task.DATA_SOURCE, answer, '14 no 8')['score'] for answer in {answers!r}]"
    assert evaluate(expression, "task") == [1.0] + [0.0] * (len(answers) - 1)


def test_held_out_problems_are_not_trained_on(evaluate):
    training, held_out = evaluate("[[p.text for p in part] for part in task.split(held_out_share=0.2, seed=0)]", "task")
    assert not set(training) & set(held_out)
    assert len(held_out) == round(0.2 * (len(training) + len(held_out)))


@pytest.mark.parametrize(("script", "says"), [(f"{RECIPE}/train.py", "verl.trainer.main_ppo"), (DEMO, "index.html")])
def test_a_dry_run_says_what_it_would_do_and_writes_nothing(fresh, tmp_path, repository, script, says):
    status, output = fresh(str(repository / script), "--dry-run", "--out", str(tmp_path / "run"))
    assert status == 0, output
    assert says in output
    assert not (tmp_path / "run").exists()


def test_a_failed_run_says_why_and_where_its_log_is(fresh, tmp_path, repository, bases):
    out = tmp_path / "run"
    arguments = ("--steps", "1", "--out", str(out), "--bases", str(bases), "+algorithm.gainful.dleta=1")
    status, output = fresh(str(repository / RECIPE / "train.py"), *arguments)
    assert status == 1
    assert "unknown option 'dleta' for agpo; did you mean 'delta'?" in " ".join(output.split())
    assert str(out / "attempts/1/log.txt") in "".join(output.split())


def test_resuming_nothing_is_a_usage_error(fresh, tmp_path, repository):
    status, output = fresh(str(repository / RECIPE / "train.py"), "--resume", "--out", str(tmp_path))
    assert status == 2
    assert "--resume expects a checkpoint" in output


def test_the_page_holds_everything_and_escapes_what_it_is_given(evaluate):
    table = "report.page.Table(('h',), ((report.page.Cell('<i>'),),), 'caption')"
    section = f"report.page.Section('T', 'L', (report.page.Text('<b>x'), report.page.Code('c', '<script>'), {table}))"
    html = evaluate(f"report.page.render('demo', [{section}])", "report.page", folder=DEMO)
    assert "&lt;b&gt;x" in html
    assert "&lt;script&gt;" in html
    assert "<i>" not in html
    assert not re.search(r"""(src|href)=["'](?!#|data:)|url\(|@import""", html)
    assert "prefers-color-scheme: dark" in html


def test_the_benchmark_runs_and_memory_stays_within_its_limit(fresh, repository):
    status, output = fresh(str(repository / "recipes/bench/advantage.py"), "--quick", OMP_NUM_THREADS="1")
    assert status == 0, output
    assert "gainful spae" in output
