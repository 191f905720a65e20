"""Saved trajectories in, rows out: what is written, what is refused, what happens when a run is cut."""

import json

import pytest
from typer.testing import CliRunner

from gainful import jsonl as jsonl_module
from gainful.cli import app
from gainful.errors import ConfigError, InputError
from gainful.infogain import SharedJudge, make_judge, read_options
from gainful.infogain import score as score_module
from gainful.infogain.score import MissingUnderFailError, score_file

BEFORE = {"lyon": 4, "paris": 3, "marseille": 2, "lille": 1}
AFTER = {"paris": 7, "paris france": 2, "lyon": 1}


def belief(counts, **more):
    return {"samples": [{"text": text} for text, count in counts.items() for _ in range(count)], **more}


def trajectory(name="t1", beliefs=(BEFORE, AFTER), **more):
    return {
        "id": name,
        "question": "What is the capital of France?",
        "gold": ["Paris"],
        "outcome": 1.0,
        "beliefs": [counts and belief(counts) for counts in beliefs],
        "turns": [{"query": f"search {turn}", "documents": ["a page"]} for turn in range(1, len(beliefs))],
        **more,
    }


def write(path, *records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def files(tmp_path):
    return tmp_path / "in.jsonl", tmp_path / "out.jsonl"


def score(files, *records, options=None, judge=None, **more):
    source, target = files
    if records:
        write(source, *records)
    options = read_options(options, where="test")
    count = score_file(source, target, judge or make_judge(options.judge), options, **more)
    return count, read(target)


def test_a_row(files):
    _, (row,) = score(files, trajectory())
    assert row == {
        "id": "t1",
        "kind": "mass",
        # "paris france" is another answer for string comparison: 0.7 - 0.3
        "gains": [pytest.approx(0.4, abs=1e-12)],
        "reward_to_go": [pytest.approx(0.4, abs=1e-12)],
        "total": pytest.approx(0.4, abs=1e-12),
        "reward": pytest.approx(1.24, abs=1e-12),
        "beliefs": [
            # plug-in entropy of (.4, .3, .2, .1) plus 3 / 20, and of (.7, .2, .1) plus 2 / 20
            {"classes": 4, "entropy": pytest.approx(1.4298542258, abs=1e-9), "gold_mass": 0.3},
            {"classes": 3, "entropy": pytest.approx(0.9018185525, abs=1e-9), "gold_mass": 0.7},
        ],
        # before: "Paris" with lyon, marseille, lille, and 6 pairs; after: "Paris" with paris france, and 3 pairs;
        # again: lyon => "Paris", and "Paris" with paris, both ways
        "judge": {"name": "normalized", "forwards": 13, "cache_hits": 3, "reference_forwards": 200},
        "config_hash": read_options(None, where="test").config_hash,
    }


@pytest.mark.parametrize(("linkage", "expected"), [("components", 12), ("complete", 11)])
def test_the_cost_fixture_as_a_file(files, stub, linkage, expected):
    same = stub(lambda a, b: a.split()[0] == b.split()[0])
    options = {"cluster": {"linkage": linkage}}
    _, (row,) = score(files, trajectory(gold=["paris"]), options=options, judge=SharedJudge(same))
    assert row["judge"]["forwards"] == len(same.asked) == expected
    assert row["judge"]["reference_forwards"] == 200
    assert row["beliefs"][1] == {"classes": 2, "entropy": pytest.approx(0.3750829734, abs=1e-9), "gold_mass": 0.9}


AFTER_P = [[0.95, 0.10], [0.90, 0.20], [0.05, 0.80], [0.02, 0.03]]
AFTER_BACK = [[0.90, 0.15], [0.40, 0.10], [0.10, 0.85], [0.60, 0.05]]
BEFORE_P = [[0.03, 0.02], [0.92, 0.10], [0.04, 0.05], [0.02, 0.02]]
BEFORE_BACK = [[0.05, 0.02], [0.88, 0.12], [0.03, 0.02], [0.08, 0.03]]


def test_the_served_form_as_a_file(files, stub):
    table, beliefs = {}, []
    for name, logprobs, forward, backward in (
        ("x", (-0.3, -0.9, -1.0, -1.6), BEFORE_P, BEFORE_BACK),
        ("y", (-0.1, -0.5, -1.2, -2.0), AFTER_P, AFTER_BACK),
    ):
        texts = [f"{name}{row}" for row in range(4)]
        table |= {(a, f"alias {c}"): forward[r][c] for r, a in enumerate(texts) for c in (0, 1)}
        table |= {(f"alias {c}", a): backward[r][c] for r, a in enumerate(texts) for c in (0, 1)}
        table |= {(a, b): 0.0 for a in texts for b in texts}
        rows = zip(texts, logprobs, strict=True)
        beliefs.append({"samples": [{"text": text, "logprob_sum": 3 * mean, "n_tokens": 3} for text, mean in rows]})
    record = trajectory(gold=["alias 0", "alias 1"], outcome=0.0) | {"beliefs": beliefs}
    _, (row,) = score(files, record, options={"preset": "inforeasoner_served"}, judge=SharedJudge(stub(table)))
    assert -row["beliefs"][0]["gold_mass"] == pytest.approx(-0.2573731678, abs=1e-9)
    assert row["total"] == pytest.approx(0.5213093220, abs=1e-9)
    assert row["reward"] == pytest.approx(0.3127855932, abs=1e-9)


PATH = ((40, 30, 20, 10), (30, 50, 10, 10), (90, 5, 3, 2))


@pytest.mark.parametrize(
    ("options", "gains"),
    [
        ({"kind": "shannon", "entropy_bias": "none"}, (0.1115717757, 0.7402341754)),
        ({"kind": "mass"}, (-0.1, 0.6)),
        ({"kind": "mass", "form": "trajectory_sum", "increments": "fixed"}, (-0.1, 0.5)),
        ({"kind": "likelihood"}, (0.0824246803, 0.4876365220)),
        ({"kind": "likelihood", "likelihood": {"form": "log"}}, (0.6, 1.3)),
    ],
)
def test_the_path_as_a_file(files, options, gains):
    names = ("Paris", "lyon", "lille", "nice")
    beliefs = [
        belief(dict(zip(names, counts, strict=True)), gold_logprob=[logprob])
        for counts, logprob in zip(PATH, (-2.3, -1.7, -0.4), strict=True)
    ]
    _, (row,) = score(files, trajectory(beliefs=(BEFORE,) * 3) | {"beliefs": beliefs}, options=options)
    assert row["gains"] == pytest.approx(gains, abs=1e-9)
    if options.get("increments") != "fixed":
        assert row["total"] == pytest.approx(sum(gains), abs=1e-9)


def test_what_is_missing_is_marked_and_never_zero(files):
    record = trajectory(beliefs=(BEFORE, None, {}, AFTER), outcome=None)
    record["beliefs"][2] = {"samples": []}
    _, (row,) = score(files, record)
    assert row["gains"] == [{"missing": "probe_failed"}, {"missing": "probe_failed"}, {"missing": "probe_empty"}]
    assert row["beliefs"][1:3] == [{"missing": "probe_failed"}, {"missing": "probe_empty"}]
    assert row["reward_to_go"] == [pytest.approx(0.4), {"missing": "probe_failed"}, {"missing": "probe_empty"}]
    assert row["total"] == pytest.approx(0.4)
    assert row["reward"] == {"missing": "no_outcome"}


def test_without_gold_the_kinds_that_need_it_are_missing_and_the_others_are_not(files, tmp_path):
    _, (row,) = score(files, trajectory(gold=[]))
    assert row["gains"] == [{"missing": "no_gold"}]
    assert [entry["gold_mass"] for entry in row["beliefs"]] == [None, None]
    _, (row,) = score((files[0], tmp_path / "other"), options={"kind": "gini"})
    assert row["gains"] == [pytest.approx(0.7777777778 - 0.5111111111, abs=1e-9)]


def test_a_trajectory_without_a_search_is_worth_its_outcome(files):
    _, (row,) = score(files, trajectory(beliefs=(BEFORE,)))
    assert (row["gains"], row["total"], row["reward"]) == ([], 0.0, 1.0)
    assert row["judge"]["reference_forwards"] == 0


def many(count):
    return [trajectory(f"t{number}", outcome=float(number % 2)) for number in range(count)]


def test_the_same_input_gives_the_same_bytes(files, tmp_path):
    score(files, *many(20))
    again = tmp_path / "again.jsonl"
    score((files[0], again))
    assert files[1].read_bytes() == again.read_bytes()


@pytest.mark.parametrize("cut", [0, 1, 100, 1500, 3000])
def test_a_run_that_was_cut_anywhere_is_continued_to_the_same_bytes(files, monkeypatch, cut):
    monkeypatch.setattr(score_module, "BATCH", 3)
    _, rows = score(files, *many(10))
    whole = files[1].read_bytes()
    files[1].write_bytes(whole[:cut])
    kept = whole[:cut].count(b"\n")
    assert score(files)[0] == len(rows) - kept
    assert files[1].read_bytes() == whole


def test_a_finished_run_is_not_scored_again(files, stub):
    score(files, *many(3))
    judge = stub(lambda a, b: True)
    assert score(files, judge=SharedJudge(judge))[0] == 0
    assert judge.asked == []


def test_the_size_of_batches_changes_nothing(files, tmp_path, monkeypatch):
    score(files, *many(10))
    monkeypatch.setattr(score_module, "BATCH", 1)
    score((files[0], tmp_path / "other"))
    assert (tmp_path / "other").read_bytes() == files[1].read_bytes()


def test_rows_of_other_options_are_not_mixed(files):
    score(files, *many(2))
    with pytest.raises(ConfigError, match=r"out\.jsonl, line 1: was written with other options"):
        score(files, options={"kind": "gini"})


def test_input_and_output_must_differ(files):
    source = write(files[0], trajectory())
    with pytest.raises(ConfigError, match="must be another file"):
        score((source, source))
    assert read(source) == [trajectory()]


def test_progress_is_told_after_every_batch(files, monkeypatch):
    monkeypatch.setattr(score_module, "BATCH", 4)
    seen = []
    score(files, *many(10), on_progress=lambda done, rows: seen.append((done, rows)))
    assert [rows for _, rows in seen] == [4, 8, 10]
    assert seen[-1][0] == files[0].stat().st_size


def test_missing_under_fail_ends_before_the_row(files):
    bad = trajectory("t2", beliefs=(BEFORE, None))
    with pytest.raises(MissingUnderFailError, match="'t2': the gain of turn 1 is missing: probe_failed"):
        score(files, trajectory(), bad, trajectory("t3"), on_missing="fail")
    assert [row["id"] for row in read(files[1])] == ["t1"]


def test_a_judge_that_recovers_is_asked_again(files, stub):
    from gainful.infogain import Missing

    values = iter([Missing("judge_failed")] * 2 + [0.0] * 100)
    _, rows = score(files, *many(2), judge=SharedJudge(stub(lambda a, b: next(values))))
    assert rows[0]["gains"] == [{"missing": "judge_failed"}]
    assert len(rows) == 2


HOSTILE = [
    ("{", "eof"),
    ("[]", "object"),
    ("null", "object"),
    ('"x"', "object"),
    ("[" * 100_000, "recursion|list|object"),
    ('{"meta":' + '{"a":' * 5000 + "1" + "}" * 5001, "recursion|field required"),
    (json.dumps(trajectory()).replace("1.0", "NaN"), "finite|number"),
    (json.dumps(trajectory()).replace("1.0", "Infinity"), "finite|number"),
    (json.dumps(trajectory()).replace("1.0", "1e999"), "finite|number"),
    (json.dumps(trajectory()).replace("1.0", '"1.0"'), "outcome: input should be a valid number"),
    (json.dumps(trajectory()).replace("1.0", "true"), "outcome: input should be a valid number"),
    (json.dumps(trajectory(id=7)), "id: input should be a valid string"),
    (json.dumps(trajectory(id="")), "id: "),
    (json.dumps(trajectory(id="x" * 1000)), "id: "),
    (json.dumps(trajectory(gold="Paris")), "gold: "),
    (json.dumps(trajectory(gold=["x"] * 1000)), "gold: "),
    (json.dumps(trajectory(gold=["x" * 20_000])), "gold.0: "),
    (json.dumps(trajectory(colour="red")), "colour: extra"),
    (json.dumps(trajectory(question="q" * 200_000)), "question: "),
    (json.dumps(trajectory(turns=[])), "beliefs must be one more than turns, 1, got 2"),
    (json.dumps(trajectory(turns=[{"query": "x"}] * 1000)), "turns: "),
    (json.dumps(trajectory(beliefs=(BEFORE,)) | {"beliefs": None}), "has no beliefs; add them"),
    (json.dumps(trajectory(beliefs=({"x": 1000}, AFTER))), "samples: "),
    (json.dumps(trajectory(beliefs=({"x" * 20_000: 1}, AFTER))), "beliefs.0.samples.0.text: "),
    (json.dumps(trajectory()).replace('"lyon"}', '"lyon", "n_tokens": 0}'), "n_tokens"),
    (json.dumps(trajectory()).replace('"lyon"}', '"lyon", "n_tokens": 1.5}'), "n_tokens"),
    (json.dumps(trajectory()).replace('"lyon"}', '"lyon", "logprob_sum": 0.5}'), "logprob_sum"),
    (json.dumps(trajectory()).replace('"lyon"}', '"lyon", "logprob_sum": NaN}'), "logprob_sum"),
    (json.dumps(trajectory()).replace('"lyon"}', '"lyon", "x": 1}'), "unexpected|extra"),
    (json.dumps(trajectory()).replace('"lyon"}', '"\\ud800"}'), "surrogate|json"),
    (json.dumps(trajectory()).replace('"documents"', '"docs"'), "turns.0.docs: extra"),
    (
        json.dumps(trajectory() | {"beliefs": [belief(BEFORE, gold_logprob=[-1, -2]), belief(AFTER)]}),
        "one value per alias",
    ),
    (json.dumps(trajectory() | {"beliefs": [belief(BEFORE, gold_logprob=[0.1]), belief(AFTER)]}), "gold_logprob.0"),
]


@pytest.mark.parametrize(("line", "message"), HOSTILE, ids=range(len(HOSTILE)))
def test_a_bad_line_is_refused_with_its_number(files, line, message):
    files[0].write_text(json.dumps(trajectory("good")) + "\n\n" + line + "\n")
    with pytest.raises(InputError, match=rf"in\.jsonl, line 3: (?i:.*({message}))") as caught:
        score(files)
    assert len(str(caught.value)) < 1000


def test_bytes_that_are_no_text_are_refused(files):
    files[0].write_bytes(b"\xff\xfe\x00\n")
    with pytest.raises(InputError, match=r"in\.jsonl, line 1: "):
        score(files)


def test_a_line_that_is_too_long_is_refused_before_it_is_read(files, monkeypatch):
    monkeypatch.setattr(jsonl_module, "MAX_LINE_BYTES", 1000)
    files[0].write_text("x" * 5000)
    with pytest.raises(InputError, match="line 1: expected at most 1000 bytes, got more"):
        score(files)


def test_an_id_that_comes_twice_is_refused_with_both_lines(files):
    with pytest.raises(InputError, match=r"line 3: id 'same' was used in line 1; ids must differ"):
        score(files, trajectory("same"), trajectory("other"), trajectory("same"))


@pytest.mark.parametrize("notes", ["my notes", "one line\nand another", '{"id": "t1"}', '{"meta'])
def test_a_file_that_holds_something_else_is_left_as_it_is(files, notes):
    files[1].write_text(notes)
    with pytest.raises(InputError, match=r"out\.jsonl"):
        score(files, trajectory())
    assert files[1].read_text() == notes


def test_rows_that_are_none_are_refused(files):
    files[1].write_text('{"id": "t1"}\n')
    with pytest.raises(InputError, match=r"out\.jsonl, line 1: kind: field required \(and 7 more\)"):
        score(files, trajectory())


def call(*arguments):
    return CliRunner().invoke(app, ["score", *map(str, arguments)])


def test_the_command_writes_rows_summary_and_page(files, tmp_path):
    write(files[0], *many(3), trajectory("t9", beliefs=(BEFORE, None)))
    summary, page = tmp_path / "s.json", tmp_path / "page.html"
    done = call("--in", files[0], "--out", files[1], "--summary", summary, "--html", page, "--html-rows", 2)
    assert done.exit_code == 0, done.output
    assert "4 trajectories, 4 of them scored now" in done.output
    assert "missing gains: probe_failed 1 (rate 0.2500)" in done.output
    assert len(read(files[1])) == 4
    assert page.read_text().count("<section") == 2
    found = json.loads(summary.read_text())
    assert (found["trajectories"], found["gains"], found["missing"]) == (4, 4, {"probe_failed": 1})
    assert found["gain_mean"] == pytest.approx(0.4)
    assert found["missing_rate"] == 0.25
    assert found["total_mean"] == pytest.approx(0.4)
    # rewards 0.24, 1.24, 0.24, the fourth unknown
    assert found["reward_mean"] == pytest.approx(1.72 / 3)
    assert found["judge_forwards"] == sum(row["judge"]["forwards"] for row in read(files[1]))


def test_the_summary_is_the_same_whether_a_run_was_cut_or_not(files, tmp_path):
    write(files[0], *many(5))
    whole, continued = tmp_path / "whole.json", tmp_path / "continued.json"
    call("--in", files[0], "--out", files[1], "--summary", whole)
    files[1].write_bytes(files[1].read_bytes()[:700])
    done = call("--in", files[0], "--out", files[1], "--summary", continued)
    assert "5 trajectories, 4 of them scored now" in done.output
    assert whole.read_bytes() == continued.read_bytes()


def test_smoothed_logarithms_are_counted(files, tmp_path):
    write(files[0], trajectory(beliefs=({"lyon": 4}, {"paris": 4})))
    call("--in", files[0], "--out", files[1], "--kind", "log", "--summary", tmp_path / "s.json")
    assert json.loads((tmp_path / "s.json").read_text())["smoothing_used"] == 2


def test_exit_codes(files):
    write(files[0], trajectory(), trajectory("t2", beliefs=(BEFORE, None)))
    done = call("--in", files[0], "--out", files[1], "--on-missing", "fail")
    assert done.exit_code == 3
    assert "'t2'" in done.output
    files[0].write_text("{")
    done = call("--in", files[0], "--out", files[1])
    assert done.exit_code == 2
    assert "line 1" in done.output
    assert call("--in", "no such file", "--out", files[1]).exit_code == 2
    assert call("--in", files[0], "--out", files[1].parent / "no" / "folder").exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--set", "judge.treshold=0.7"), "did you mean 'judge.threshold'"),
        (("--set", "threshold"), "expected name=value"),
        (("--set", "kind.x=1", "--kind", "mass"), "was set to a value before"),
        (("--judge", "normalised"), "did you mean 'normalized'"),
        (("--probe-url", "http://127.0.0.1/v1"), "needs probe.endpoint_model"),
        (("--preset", "served"), "preset"),
    ],
)
def test_mistakes_in_the_arguments_are_named(files, arguments, message):
    write(files[0], trajectory())
    done = call("--in", files[0], "--out", files[1], *arguments)
    assert done.exit_code == 2
    assert message in done.output


@pytest.mark.parametrize("option", ["--summary", "--html", "--out"])
def test_no_output_takes_the_place_of_the_input(files, option):
    source = write(files[0], trajectory())
    rest = [] if option == "--out" else ["--out", files[1]]
    done = call("--in", source, option, source, *rest)
    assert done.exit_code == 2
    assert "must be different files" in done.output
    assert read(source) == [trajectory()]


def test_settings_reach_the_options(files):
    write(files[0], trajectory())
    call("--in", files[0], "--out", files[1], "--set", "weight=0", "--set", "cluster.linkage=components")
    expected = read_options({"weight": 0, "cluster": {"linkage": "components"}}, where="test").config_hash
    assert read(files[1])[0]["config_hash"] == expected
    assert read(files[1])[0]["reward"] == 1.0
