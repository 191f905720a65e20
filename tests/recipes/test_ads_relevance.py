"""The ads relevance recipe: its reward, its data, its operating point, and one tiny run from end to end."""

import importlib.util
import json

import numpy as np
import pandas as pd
import pytest
import tomllib

RECIPE = "ads_relevance"
TINY = {
    "world": {"labelled_queries": 120, "unlabelled_queries": 20},
    "data": {"min_positives": 4},
    "teacher": {"width": 32, "layers": 1, "heads": 2},
    "supervised": {"steps": 120, "batch": 32},
    "reinforced": {"steps": 2, "prompts": 4, "samples": 2},
    "annotate": {"votes": 2, "batch": 256},
    "student": {"steps": 4, "batch": 8},
    "measure": {"resamples": 20},
}


def as_toml(sections):
    """Two levels of tables, and values that JSON and TOML write alike."""
    lines = []
    for name, values in sections.items():
        inner = {key: value for key, value in values.items() if isinstance(value, dict)}
        lines.append(f"[{name}]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in values.items() if key not in inner]
        lines += as_toml({f"{name}.{key}": value for key, value in inner.items()}).splitlines()
    return "\n".join(lines)


@pytest.fixture
def tiny_config(repository, tmp_path):
    sections = tomllib.loads((repository / "recipes" / RECIPE / "config.toml").read_text())
    file = tmp_path / "tiny.toml"
    file.write_text(as_toml({name: {**values, **TINY.get(name, {})} for name, values in sections.items()}))
    return file


@pytest.fixture
def ask(ask_recipe):
    return lambda code: ask_recipe(RECIPE, code)


@pytest.fixture
def reward(repository):
    """`reward.py` loaded as verl loads it: from its path alone."""
    return load_module(repository / "recipes" / RECIPE / "reward.py")


def load_module(file):
    spec = importlib.util.spec_from_file_location(f"loaded_{file.parent.name}", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("response", "grade"),
    [
        ("same needs warm gives warm grade 2", 2),
        ("Same product.\nGrade: 3.", 3),
        ("**Grade: 1**\n", 1),
        ("grade 0 grade 1 grade 2", 2),  # the last one counts
        ("grade 4", None),  # above the range
        ("grade 23", None),
        ("grade -1", None),
        ("upgrade 3", None),
        ("grade 2 or so", None),
        ("grade", None),
        ("", None),
        ("grade ٣", None),  # a digit, but not one of 0 to 9
        ("grade 2" + " " * 100, None),
        ("grade 3 " * 100_000, 3),
        ("g" * 1_000_000, None),
    ],
)
def test_reads_the_grade_that_ends_a_response_and_nothing_else(reward, response, grade):
    assert reward.read_grade(response, 3) == grade


@pytest.mark.parametrize(
    ("response", "truth", "score", "acc", "readable"),
    [
        ("grade 2", "2/3", 1.0, 1.0, 1.0),
        ("grade 3", "2/3", 0.25, 0.0, 1.0),
        ("grade 0", "2/3", 0.0, 0.0, 1.0),
        ("no idea", "2/3", 0.0, 0.0, 0.0),
        ("grade 0", "1/1", 0.0, 0.0, 1.0),  # of two grades the other one is not near
    ],
)
def test_reward_matches_hand_cases(reward, response, truth, score, acc, readable):
    got = reward.compute_score("ads_relevance", response, truth, extra_info={"index": 0}, more=1)
    assert got == {"score": score, "acc": acc, "readable": readable}


@pytest.mark.parametrize(("source", "truth"), [("gsm8k", "2/3"), ("ads_relevance", "2"), ("ads_relevance", "4/3")])
def test_reward_refuses_rows_that_the_export_did_not_write(reward, source, truth):
    with pytest.raises(ValueError, match="reward: "):
        reward.compute_score(source, "grade 2", truth)


def test_near_credit_is_below_the_threshold_of_success(ask):
    answer = ask(
        "import plan, reward; answer = [reward.NEAR_CREDIT, plan.read_plan().reinforced.agpo.success_threshold]"
    )
    assert answer[0] < answer[1]


def test_rules_need_two_facts_where_the_surface_says_nothing(ask):
    answer = ask(
        """
from rules import Ad, Query, judge
query = Query("tilmar", "zand", "snow", "hire")
ads = [
    Ad("tilmar", "orlek", "felt", "rental"),  # sister brand, felt is warm: 3
    Ad("tilmar", "miro", "felt", "rental"),   # another house: 2
    Ad("tilmar", "miro", "mesh", "rental"),   # and light instead of warm: 1
    Ad("zavok", "orlek", "felt", "rental"),   # another product of the family: 2
    Ad("tilmar", "orlek", "felt", "sale"),    # not to hire: at most 1
    Ad("nolt", "orlek", "felt", "rental"),    # another family: 0
]
answer = [judge(query, ad).grade for ad in ads]
"""
    )
    assert answer == [3, 2, 1, 2, 1, 0]


def test_annotators_who_know_everything_are_right_and_others_err_in_favour_of_the_ad(ask):
    answer = ask(
        """
import random
from rules import Annotators, ad_of_grade, all_queries, judge
rng = random.Random(0)
pairs = [(query, ad_of_grade(query, rng.randrange(4), rng)) for query in rng.sample(all_queries(), 300)]
def errors(unfamiliar_max):
    annotators = Annotators(random.Random(1), unfamiliar_max=unfamiliar_max, slip_rate=0.0)
    return sorted({annotators.annotate(*pair)[0] - judge(*pair).grade for pair in pairs})
answer = [errors(0.0), errors(1.0)]
"""
    )
    assert answer[0] == [0]
    assert answer[1][0] == 0
    assert answer[1][-1] > 0


def test_long_reasons_are_cut_and_the_grade_is_kept(ask):
    answer = ask(
        """
import pandas as pd, plan, teacher
pairs = pd.DataFrame({"query": ["Hire zand!"], "ad": ["felt, tilmar"]})
words = teacher.Vocabulary.build(pairs, ["same same same same grade 2"], plan.read_plan().teacher, 3)
tokens = words.responses(["same " * 50 + "grade 3", "same grade 1"])
strange = words.prompts(pd.DataFrame({"query": ["never seen " * 50], "ad": ["?"]}))
answer = [words.texts(tokens), tokens.shape[1], strange.shape[1], int(strange.max()) < len(words.words)]
"""
    )
    assert answer == [["same same same same grade 3", "same grade 1"], 7, 2 + 2 + 2, True]


def test_splits_share_no_query_and_grades_have_the_declared_shares(ask):
    answer = ask(
        """
import data, pathlib, tempfile
from plan import read_plan
plan = read_plan()
files, names = data.write_world(pathlib.Path(tempfile.mkdtemp()), plan.world), data.Columns()
frames = data.read_labelled(files[0], names, plan.data), data.read_unlabelled(files[1], names, plan.data)
parts = data.split(*frames, plan.data)
answer = {
    "queries": [sorted(set(getattr(parts, name)["query"])) for name in (*data.PARTS, "unlabelled")],
    "shares": (frames[0]["label"].value_counts(normalize=True).sort_index()).tolist(),
    "declared": plan.world.grade_shares,
    "queries_asked": plan.world.labelled_queries + plan.world.unlabelled_queries,
}
"""
    )
    names = [set(queries) for queries in answer["queries"]]
    assert sum(map(len, names)) == len(set.union(*names)) == answer["queries_asked"]
    # 6400 draws: four standard deviations of a share are at most 4 * sqrt(0.25 / 6400) = 0.025
    np.testing.assert_allclose(answer["shares"], answer["declared"], atol=0.025)


def test_unlabelled_pairs_lose_the_queries_of_validation_and_test(ask):
    answer = ask(
        """
import pandas as pd, data
from plan import read_plan
plan = read_plan()
labelled = pd.DataFrame({"query": f"q{i}", "ad": f"a{j}", "label": j} for i in range(100) for j in range(4))
parts = data.split(labelled, labelled[["query", "ad"]], plan.data)
held_out = set(parts.validation["query"]) | set(parts.test["query"])
shared = held_out & set(parts.unlabelled["query"])
answer = [len(parts.unlabelled), parts.num_dropped, len(shared), len(held_out)]
"""
    )
    kept, dropped, shared, held_out = answer
    assert shared == 0
    assert dropped == 4 * held_out
    assert kept == 400 - dropped


METRICS = """
import numpy as np, metrics, plan
relevant = np.array([True, True, False, True, False, False])
scores = np.array([0.9, 0.8, 0.8, 0.4, 0.3, 0.0])
def point(target, level):
    return metrics.operating_point(relevant, scores, plan.Measure(target=target, level=level, resamples=10))
"""


def test_operating_point_on_hand_made_scores(ask):
    cases = [
        (("precision", 0.8), [0.9, True]),
        (("recall", 0.3), [0.9, True]),  # 1 of 3 found
        (("recall", 0.34), [0.8, True]),  # two equal scores are shown together: 2 of 3
        (("recall", 0.67), [0.4, True]),
        (("precision", 0.7), [0.4, True]),  # 3 of 4 shown are relevant
    ]
    targets = [target for target, _ in cases]
    answer = ask(
        f"""{METRICS}
answer = [point(*target) for target in {targets}]
relevant = np.array([False, True, True, False, False, False])  # 0 of 1, 2 of 3, 2 of 4, ...
answer.append(point("precision", 0.9))
"""
    )
    assert answer == [*(expected for _, expected in cases), [0.8, False]]  # out of reach: the most precise, and says so


def test_curve_and_figures_match_hand_computed_values(ask):
    answer = ask(
        METRICS
        + """
points = metrics.curve(relevant, scores)
model = metrics.Scored(np.stack([scores, scores]), np.array([0.8, 0.4]))
answer = [points.precision.tolist(), points.recall.tolist(), metrics.figures(relevant, model)]
"""
    )
    precision, recall, figures = answer
    np.testing.assert_allclose(precision, [1, 2 / 3, 3 / 4, 3 / 5, 3 / 6])
    np.testing.assert_allclose(recall, [1 / 3, 2 / 3, 1, 1, 1])
    np.testing.assert_allclose(figures["precision"], (2 / 3 + 3 / 4) / 2)
    np.testing.assert_allclose(figures["recall"], (2 / 3 + 1) / 2)
    np.testing.assert_allclose(figures["average precision"], (1 + 2 / 3 + 3 / 4) / 3)


def test_bootstrap_is_paired_and_keeps_the_pairs_of_a_query_together(ask):
    answer = ask(
        METRICS
        + """
draw = metrics.Bootstrap(np.array(["a", "a", "a", "b", "b", "b"]), 2, 50)
model = metrics.Scored(np.stack([scores, scores]), np.array([0.8, 0.8]))
draws = draw.draws(relevant, model)
again = draw.draws(relevant, model)
same = all(np.array_equal(draws[name], again[name], equal_nan=True) for name in draws)
undefined = np.isnan(draws["precision"][draws["recall"] == 0])
answer = [same, sorted(set(np.round(draws["recall"], 6))), bool(undefined.all())]
"""
    )
    # query a twice: 2 of 2 found; both: 2 of 3; query b twice: 0 of 1, and nothing is shown
    assert answer == [True, [0.0, 0.666667, 1.0], True]


def test_votes_become_shares_and_a_score_that_orders_by_relevance(ask):
    answer = ask(
        """
import numpy as np, annotate
counts = np.array([[0, 0, 1, 3, 0], [0, 0, 3, 1, 0], [2, 0, 0, 1, 1], [0, 0, 0, 0, 4]])
shares = annotate.shares(counts)
answer = [np.nan_to_num(shares, nan=-1).tolist(), annotate.score(shares, 2).tolist()]
"""
    )
    shares, scores = answer
    np.testing.assert_allclose(shares, [[0, 0, 0.25, 0.75], [0, 0, 0.75, 0.25], [2 / 3, 0, 0, 1 / 3], [-1] * 4])
    assert scores[0] > scores[1] > 0.999 > scores[2] > scores[3] == 0.0


def test_grpo_and_agpo_weigh_an_all_wrong_group_differently(ask):
    answer = ask(
        """
import torch, train, plan
rewards, mask, groups = torch.tensor([1.0, 0.0, 0.0, 0.0]), torch.ones(4, 2), torch.tensor([0, 0, 1, 1])
settings = plan.read_plan().reinforced
answer = {name: train.advantages(name, rewards, mask, groups, settings)[:, 0].tolist() for name in train.METHODS}
"""
    )
    # grpo: +-0.5 / sample std 0.7071; agpo: +-1 / sqrt(1 + 1), and -1 for every wrong row
    np.testing.assert_allclose(answer["grpo"], [0.7071, -0.7071, 0, 0], atol=1e-4)
    np.testing.assert_allclose(answer["agpo"], [0.7071, -1.7071, -1, -1], atol=1e-4)


def test_sampling_draws_from_the_distribution_that_training_scores(ask):
    answer = ask(
        """
import pandas as pd, plan, teacher, torch
settings = plan.read_plan().teacher
pairs = pd.DataFrame({"query": ["hire zand"], "ad": ["felt tilmar"]})
words = teacher.Vocabulary.build(pairs, ["same grade 2"], settings, 3)
model, prompts = teacher.build_teacher(words, settings, seed=0), words.prompts(pairs)
uniforms = torch.rand(1, 6, words.response_slots, generator=torch.Generator().manual_seed(0))
out = teacher.sample(model, prompts, uniforms)
before = model.response_logits(prompts.expand(6, -1), out).softmax(-1).cumsum(-1)
wanted = torch.searchsorted(before, uniforms[0][..., None]).squeeze(-1).clamp(max=before.shape[-1] - 1)
answer = bool(((out == wanted) | (out == teacher.PAD)).all()) and bool((out != teacher.PAD).any())
"""
    )
    assert answer is True


def labelled_frame(**changes):
    rows = {"query": ["red shoe", "blue hat"] * 100, "ad": ["shoe sale", "hat sale"] * 100, "label": [3, 0] * 100}
    return pd.DataFrame({**rows, **changes})


def spoilt(column, row, value):
    values = labelled_frame()[column].astype(object)
    values[row] = value
    return {column: values}


MISFITS = [
    (labelled_frame().rename(columns={"ad": "advert"}), "missing: ad; found: query, advert, label"),
    (labelled_frame(**spoilt("query", 7, None)), "row 7: query must be text that is not blank, got "),
    (labelled_frame(**spoilt("ad", 3, "  ")), "row 3: ad must be text that is not blank"),
    (labelled_frame(**spoilt("ad", 4, "x" * 2001)), "row 4: ad must have at most 2000 characters, got 2001"),
    (labelled_frame(**spoilt("label", 5, 4)), "row 5: label must be a whole number from 0 to 3, got 4"),
    (labelled_frame(**spoilt("label", 6, 1.5)), "row 6: label must be a whole number from 0 to 3, got 1.5"),
    (labelled_frame(**spoilt("label", 8, None)), "row 8: label must be a whole number from 0 to 3, got nan"),
    (
        labelled_frame(label=[str(i % 2) for i in range(200)]),
        "row 0: label must be a whole number from 0 to 3, got '0'",
    ),
    (labelled_frame(label=[0] * 200), "at least 20 pairs of label 2 or above and as many below, got 0 and"),
]


def test_a_file_that_does_not_fit_is_refused_with_the_reason(ask, tmp_path):
    files = [tmp_path / f"{number}.parquet" for number in range(len(MISFITS) + 1)]
    for file, (frame, _) in zip(files[:-1], MISFITS, strict=True):
        frame.to_parquet(file, index=False)
    files[-1].write_text("query,ad,label\n")
    messages = ask(
        f"""
import data, plan
def message(file):
    try:
        data.split(data.read_labelled(file, data.Columns(), limits), None, limits)
    except data.DataError as error:
        return str(error)
limits = plan.read_plan().data
answer = [message(file) for file in {[str(file) for file in files]}]
"""
    )
    for message, expected in zip(messages, [*(text for _, text in MISFITS), "must be a parquet file"], strict=True):
        assert expected in message


def test_own_columns_are_exported_for_verl_with_a_reward_that_agrees(run_recipe, reward, tiny_config, tmp_path):
    labels = {(f"need {i}", f"offer {j}"): (i + j) % 4 for i in range(60) for j in range(4)}
    file, out = tmp_path / "mine.parquet", tmp_path / "verl"
    rows = [(query, ad, label) for (query, ad), label in labels.items()]
    pd.DataFrame(rows, columns=["q", "advert", "stars"]).to_parquet(file)
    names = ("--query-column", "q", "--ad-column", "advert", "--label-column", "stars")
    options = ("--positive-from", 3, "--config", tiny_config, "--export-verl", out)
    run_recipe(RECIPE, "--data", file, *names, *options)
    exported, queries = load_module(out / "reward.py"), []
    for split in ("train", "val", "test"):
        frame = pd.read_parquet(out / f"{split}.parquet")
        assert list(frame.columns) == ["data_source", "prompt", "ability", "reward_model", "extra_info"]
        queries.append({info["query"] for info in frame["extra_info"]})
        for row in frame.itertuples():
            label = labels[row.extra_info["query"], row.extra_info["ad"]]
            assert row.prompt[0]["role"] == "user"
            assert row.extra_info["query"] in row.prompt[0]["content"]
            scored = [(row.data_source, f"so grade {g}", row.reward_model["ground_truth"]) for g in (label, label ^ 1)]
            assert [exported.compute_score(*row) for row in scored] == [reward.compute_score(*row) for row in scored]
            assert exported.compute_score(*scored[0])["acc"] == 1.0
    assert len(set.union(*queries)) == sum(map(len, queries))


def figures(out):
    """All of a run's record that must not depend on the clock."""
    summary = json.loads((out / "summary.json").read_text())
    return {name: value for name, value in summary.items() if name != "cost"}


def test_a_run_repeats_digit_by_digit_and_resumes_from_its_stages(run_recipe, tiny_config, tmp_path):
    arguments = ("--config", tiny_config, "--seeds", 1)
    first, second = tmp_path / "first", tmp_path / "second"
    run_recipe(RECIPE, *arguments, "--out", first)
    run_recipe(RECIPE, *arguments, "--out", second)
    assert figures(first) == figures(second)

    stages = sorted(first.glob("runs/*/seed-*/*.npz"))
    assert len(stages) == 3 + 3 + 5  # teachers, their votes, students
    dropped, times = stages[0], {file: file.stat().st_mtime_ns for file in stages}
    dropped.unlink()
    run_recipe(RECIPE, *arguments, "--out", first)
    assert figures(first) == figures(second)
    assert [file for file in stages if file.stat().st_mtime_ns != times[file]] == [dropped]

    page = (first / "index.html").read_text()
    assert "<script" not in page
    assert all(title in page for title in ("Teachers and students", "Precision and recall", "Example pairs"))
    assert "| agpo teacher |" in (first / "table.md").read_text()


def test_own_data_run_from_end_to_end_with_shared_words_as_reasons(run_recipe, tiny_config, tmp_path):
    rows = [
        (f"red shoe {i}", f"shoe {'red' if label else 'blue'} {i}", 3 * label) for i in range(80) for label in (0, 1)
    ]
    file, out = tmp_path / "mine.parquet", tmp_path / "out"
    pd.DataFrame(rows, columns=["query", "ad", "label"]).to_parquet(file)
    run_recipe(RECIPE, "--data", file, "--config", tiny_config, "--seeds", 1, "--out", out)
    assert figures(out)["data"]["test"]["relevant"] * 2 == figures(out)["data"]["test"]["pairs"]


def test_stage_is_made_once_and_a_damaged_file_is_refused_with_its_path(ask, tmp_path):
    answer = ask(
        f"""
import numpy as np
from pathlib import Path
from stages import StageError, Stages
stages, calls = Stages(Path({str(tmp_path)!r})), []
make = lambda: calls.append(1) or {{"x": np.arange(3)}}
values = [stages.get("one", make)["x"].tolist() for _ in range(2)]
file = stages.folder / "one.npz"
messages = []
np.savez(stages.folder / "pickled.npz", x=np.array([object()], dtype=object))
file.write_bytes(file.read_bytes()[:100])
for name in ("one", "pickled"):
    try:
        stages.get(name, make)
    except StageError as error:
        messages.append(str(error))
answer = [values, len(calls), messages]
"""
    )
    values, calls, messages = answer
    assert (values, calls) == ([[0, 1, 2]] * 2, 1)
    for name, message in zip(("one", "pickled"), messages, strict=True):
        assert f"{tmp_path / name}.npz cannot be read" in message
        assert "delete it" in message


def test_dry_run_writes_nothing(run_recipe, tmp_path):
    out = tmp_path / "out"
    text = run_recipe(RECIPE, "--dry-run", "--out", out)
    assert '"negative_reward": -1.0' in text
    assert not out.exists()
