"""The page shows what the rows say, and shows texts as texts."""

import re
from html.parser import HTMLParser

import pytest

from gainful.infogain import GainOptions, make_judge
from gainful.infogain.page import scored_fragment, scored_html
from gainful.infogain.records import Trajectory
from gainful.infogain.score import score_trajectories

ATTACK = '<script>alert(1)</script>"><img src=x onerror=alert(2)>\x1b[31m'


class Balanced(HTMLParser):
    """Fails on a tag that is closed out of order; keeps all tags."""

    def __init__(self):
        super().__init__()
        self.open, self.seen = [], []

    def handle_starttag(self, tag, attributes):
        self.seen.append((tag, dict(attributes)))
        if tag not in ("meta", "rect", "line"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.seen.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def score_one(record):
    options = GainOptions()
    return score_trajectories([Trajectory.model_validate(record, strict=False)], make_judge(options.judge), options)


def scored(text="paris", **more):
    beliefs = [
        {"samples": [{"text": "lyon"}, {"text": text}, {"text": "nice"}, {"text": ""}]},
        None,
        {"samples": [{"text": text}] * 3 + [{"text": "lyon"}]},
        {"samples": [{"text": "lyon"}] * 4},
    ]
    record = {
        "id": "t1",
        "question": "What is the capital?",
        "gold": [text],
        "outcome": 1.0,
        "beliefs": beliefs,
        "turns": [{"query": f"query {n}", "documents": ["one", "two"]} for n in (1, 2, 3)],
        **more,
    }
    return score_trajectories(
        [Trajectory.model_validate(record, strict=False)], make_judge(GainOptions().judge), GainOptions()
    )


def parsed(page):
    parser = Balanced()
    parser.feed(page)
    assert parser.open == []
    return parser.seen


def test_beliefs_gains_and_gaps_are_shown():
    page = scored_html(scored())
    parsed(page)
    assert "gain -0.7500" in page
    assert page.count("gain missing: probe_failed") == 2
    assert "belief missing: probe_failed" in page
    assert "(no answer) 25%" in page
    assert "paris 75%" in page
    assert "gold mass 0.7500" in page
    assert "total gain <b>-0.2500</b> · reward <b>0.8500</b>" in page
    assert page.index("Before any search") < page.index("query 1") < page.index("query 3")


def test_widths_of_a_belief_add_up_to_the_whole():
    tracks = re.findall(r'<div class="track">(.*?)</div></div>', scored_html(scored()))
    for track in tracks:
        assert sum(map(float, re.findall(r"width:([\d.]+)%", track))) == pytest.approx(100, abs=0.1)


def test_bars_of_gains_stay_within_their_scale():
    for tag, attributes in parsed(scored_html(scored())):
        if tag == "rect":
            left, width = float(attributes["x"]), float(attributes["width"])
            assert left >= 0
            assert left + width <= 200
            assert (left < 100) == (attributes["class"] == "down")


def test_texts_stay_texts():
    attacked = scored(
        ATTACK, id="<b>", question=ATTACK, turns=[{"query": ATTACK, "documents": [ATTACK * 200] * 50}] * 3
    )
    page = scored_html(attacked)
    assert not {"script", "img", "b>"} & {tag for tag, _ in parsed(page)}
    assert not any(name.startswith("on") for _, attributes in parsed(page) for name in attributes)
    assert "\x1b" not in page
    assert len(page) < 60_000


def test_the_page_needs_no_network_and_no_script():
    page = scored_html(scored())
    assert "http" not in page
    assert "<script" not in page
    assert "prefers-color-scheme:dark" in page


def test_a_fragment_brings_its_style():
    fragment = scored_fragment(scored()[0])
    assert fragment.startswith("<style>")
    assert "<html" not in fragment


def test_nothing_to_show_is_a_page_too():
    parsed(scored_html([]))


def test_all_gains_zero_are_shown():
    record = {
        "id": "t",
        "question": "q",
        "gold": ["x"],
        "beliefs": [{"samples": [{"text": "x"}]}] * 2,
        "turns": [{"query": "y"}],
    }
    page = scored_html(score_one(record))
    assert "gain +0.0000" in page
