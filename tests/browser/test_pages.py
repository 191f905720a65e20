"""Every page that gainful or a recipe writes, in a real browser: light and dark, wide and narrow."""

import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from gainful.budget import Usage
from gainful.budget.actions import Observation, Passage
from gainful.budget.controller import Controller

ROOT = Path(__file__).parents[2]
FIXTURES = ROOT / "tests/fixtures"
READABLE_CONTRAST = 4.5
"""WCAG 2.2, AA, for text of any size."""
VISIBLE_CONTRAST = 3.0
"""The same, for what is drawn."""
READABLE_PIXELS = 9.0
"""The smallest text: the ticks of a chart on a phone."""
NOT_A_VALUE = re.compile(r"\b(NaN|nan|inf|Infinity|undefined|None|null)\b")


def run(*command):
    done = subprocess.run([sys.executable, *map(str, command)], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]


def budget_report():
    """Of a run on a clock that moves half a second a step, with one search that fails."""
    controller, now = Controller(), 0.0
    state = controller.start("When was the director of the film Solaris born?", "3/300", now)
    passages = iter(
        (
            Passage(title="Solaris", text="Solaris is a film directed by Andrei Tarkovsky.", score=4.0),
            Passage(title="Andrei Tarkovsky", text="Andrei Tarkovsky was born on 4 April 1932.", score=3.0),
        )
    )
    kind = ""
    while kind != "ANSWER":
        action = controller.begin(state, controller.decide(state, now), now)
        kind, now = action.kind, now + 0.5
        found = next(passages, None) if kind == "SEARCH" else None
        usage = None if kind == "SEARCH" else Usage(output_tokens=8)
        text = "4 April 1932 [1]" if kind == "ANSWER" else ""
        outcome = "ok" if found or kind != "SEARCH" else "error"
        observation = Observation(passages=(found,) if found else (), text=text, usage=usage, outcome=outcome)
        controller.observe(state, action, observation, now)
    return controller.finish(state, now)


def demo(folder):
    """From results of a run, shortened; timelines are written as the recipe writes them."""
    shutil.copytree(FIXTURES / "demo", folder, dirs_exist_ok=True)
    for name in ("guarded", "search_agent"):
        (folder / "budget" / f"{name}.fragment.html").write_text(budget_report()._repr_html_())
    run("recipes/demo", "--page-only", "--out", folder)
    return folder / "index.html"


def budget_bench(folder):
    run("recipes/bench/budget", "page", "--out", folder)
    return next(folder.rglob("*.html"))


def program(name):
    """A page that a program of ours draws from results made up for it."""

    def write(folder):
        run(Path(__file__).parent / "made_up" / f"{name}.py", folder / "index.html")
        return folder / "index.html"

    return write


def score(folder):
    source = ROOT / "recipes/infogain_offline/trajectories.jsonl"
    run("-m", "gainful", "score", "--in", source, "--out", folder / "rows.jsonl", "--html", folder / "index.html")
    return folder / "index.html"


def two_pointers(folder):
    run("-m", "gainful", "sparkv", "simulate", "--html", folder / "index.html")
    return folder / "index.html"


def budget(folder):
    budget_report().to_html(str(folder / "index.html"))
    return folder / "index.html"


WRITERS = {
    "demo": (demo, 13),
    "budget bench": (budget_bench, 4),
    "sparkv bench": (program("sparkv"), 2),
    "all charts": (program("charts"), 5),
    "score": (score, 3),
    "two pointers": (two_pointers, 4),
    "budget": (budget, 1),
}
"""Page -> what writes it, and how many pictures it has at least."""


WINDOWS = ((1280, "light"), (390, "dark"), (1280, "dark"), (390, "light"))
SHOWN = [(name, *window) for name in WRITERS for window in (WINDOWS if name == "demo" else WINDOWS[:2])]


@pytest.fixture(scope="session")
def written(tmp_path_factory):
    """`written("demo")`: the page, written once."""
    return cache(lambda name: WRITERS[name][0](tmp_path_factory.mktemp("page")))


@pytest.fixture(scope="session", params=SHOWN, ids=lambda shown: "-".join(map(str, shown)))
def shown(request):
    """Name of a page, width of the window, colour scheme."""
    return request.param


@pytest.fixture(scope="session")
def view(browser, written, shown):
    name, width, scheme = shown
    return browser.look(written(name), width, scheme)


def test_nothing_is_complained_about(view):
    assert view.complaints == []


def test_nothing_is_fetched(view):
    assert view.requests == []


def test_it_fits_the_window(view):
    assert view.excess == 0


def test_it_follows_the_colour_scheme(shown, view):
    assert (view.paper > 0.5) == ("light" in shown)
    assert not 0.1 < view.paper < 0.8


def test_text_is_readable(view):
    assert len(view.texts) > 10
    assert unreadable(view) == []


def test_nothing_is_shown_that_is_no_value(view):
    assert valueless(view) == []


def test_every_picture_is_drawn(shown, view):
    assert len(view.pictures) >= WRITERS[shown[0]][1]
    assert empty(view) == []


def test_no_text_of_a_picture_is_cut_off_or_covered(view):
    assert [picture["covered"] for picture in view.pictures if picture["covered"]] == []


def test_curves_stand_out(view):
    assert pale(view) == []


def unreadable(view):
    return [text for text in view.texts if text["contrast"] < READABLE_CONTRAST or text["pixels"] < READABLE_PIXELS]


def pale(view):
    return [one for picture in view.pictures for one in picture["curves"] if one["contrast"] < VISIBLE_CONTRAST]


def valueless(view):
    words = [text["text"] for text in view.texts if not text["code"] and NOT_A_VALUE.search(text["text"])]
    return words + [value for picture in view.pictures for value in picture["notNumbers"]]


def empty(view):
    """Pictures without a name, a size, a coloured mark, or pixels of their own."""
    return [
        picture
        for picture in view.pictures
        if not (picture["name"] and min(picture["box"][2:]) > 4 and picture["colored"] and view.drawn(picture) > 0.002)
    ]


FAULTY = """<!doctype html><html lang="en"><meta charset="utf-8"><title>faulty</title>
<body style="background:#fff"><p style="color:#999">pale</p><p style="font-size:5px">tiny</p><p>nan</p>
<div style="width:2000px">wide</div><img src="http://gainful.invalid/picture.png" alt="">
<svg role="img" aria-label="blank" width="50" height="50"><rect width="0" height="0" fill="red"/></svg>
<svg role="img" aria-label="hidden" width="50" height="50"><rect width="50" height="50" fill="#ffffff"/>
<text x="5" y="20" fill="#000">black</text><rect width="40" height="20" y="30" fill="#222"/>
<text x="5" y="45" fill="#000">on black</text></svg>
<svg role="img" aria-label="crowded" width="90" height="50"><g id="line2d_1"><path d="M0 0h9v9" fill="#ccc"/></g>
<text x="2" y="20">fits</text><text x="70" y="20">leaves it</text><text x="3" y="22">over it</text></svg>
<svg role="img" aria-label="broken" width="50" height="50"><path d="M 0 nan L 5 5" stroke="red"/></svg>
<script>console.warn("careful")</script></body></html>"""


def test_every_fault_is_seen(browser, tmp_path):
    (tmp_path / "faulty.html").write_text(FAULTY)
    view = browser.look(tmp_path / "faulty.html", 1280, "dark")
    assert any("careful" in message for message in view.complaints)
    assert any("attribute d" in message for message in view.complaints)
    assert view.requests == ["http://gainful.invalid/picture.png"]
    assert view.excess > 700
    assert view.paper == 1.0  # in dark
    assert {text["text"] for text in unreadable(view)} == {"pale", "tiny", "on black"}
    assert valueless(view) == ["nan", "M 0 nan L 5 5"]
    assert {picture["name"] for picture in empty(view)} >= {"", "blank", "broken"}
    assert [one["color"] for one in pale(view)] == ["rgb(204, 204, 204)"]
    assert [picture["covered"] for picture in view.pictures if picture["name"] == "crowded"] == [
        ["leaves it", "over it"]
    ]
