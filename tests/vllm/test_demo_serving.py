"""The serving part of recipes/demo, on a short prompt and a link that does not limit."""

import sys

import pytest

FOLDERS = ("recipes/bench/sparkv", "recipes/demo")
MODULES = ("hindsight", "routes", "settings")


class RecordedLink:
    """Notes the rates that it is given."""

    def __init__(self):
        self.rates = []

    def shape(self, mbit, rtt_ms):
        self.rates.append(mbit)


@pytest.fixture
def routes(repository, monkeypatch):
    """The module of the recipe, which is no package; nothing of it is left behind."""
    for folder in FOLDERS:
        monkeypatch.syspath_prepend(str(repository / folder))
    import routes

    yield routes
    for name in MODULES:
        sys.modules.pop(name, None)


def serve(routes, engine, ids, link=None):
    said = []
    return routes.serve_all(routes.Engine(engine.llm), link or RecordedLink(), ids, 2, said.append), said


def test_every_mode_serves_the_prompt_with_the_tokens_of_plain_prefill(routes, engine, prompt):
    result, said = serve(routes, engine, prompt(1500))
    modes = [run["mode"] for run in result["runs"]]
    assert modes == ["compute", *routes.MODES, "compute", *routes.MODES]
    assert len({tuple(run["tokens"]) for run in result["runs"]}) == 1
    for run in result["runs"]:
        report = run["report"]
        assert report["mode"] == run["mode"]
        assert report["computed_tokens"] + report["streamed_tokens"] == 1500
        assert (report["streamed_tokens"] > 0) == (run["mode"] != "compute")
        assert run["seconds"] > 0
    assert len(said) == 2 + 7
    assert engine.is_clean()


def test_both_routes_approach_each_other_until_they_meet(routes, engine, prompt):
    result, _ = serve(routes, engine, prompt(1500))
    race = next(run for run in result["runs"] if run["mode"] == "two_pointer")
    met = race["report"]["met_at_token"]
    seconds, computed, streamed = zip(*race["points"], strict=True)
    streamed = [token for token in streamed if token is not None]
    assert list(seconds) == sorted(seconds)
    assert list(computed) == sorted(computed)
    assert streamed == sorted(streamed, reverse=True)
    assert computed[0] == 0
    assert computed[-1] <= met
    assert met + race["report"]["streamed_tokens"] == 1472  # 46 blocks of 32: the last token is computed


def test_the_link_gets_the_rate_at_which_streaming_takes_as_long_as_computing_did(routes, engine, prompt):
    link = RecordedLink()
    result, _ = serve(routes, engine, prompt(1500), link)
    cold = result["runs"][0]["seconds"]
    # two layers, keys and values, one head of 32 values of 4 bytes: 512 bytes a token
    assert result["stored_bytes"] == 1472 * 512
    assert result["mbit"] == pytest.approx(1472 * 512 * 8 / 1e6 / cold)
    assert link.rates[::2] == [result["mbit"]] * 7


def test_a_wrong_token_ends_it_and_names_the_mode(routes, engine, prompt, monkeypatch):
    decode = engine.worker_part.transfers.decode
    # every key and value becomes the float of four bytes 65, which is 12.08: far from what these weights give
    monkeypatch.setattr(engine.worker_part.transfers, "decode", lambda *args: decode(*args).fill_(65))
    with pytest.raises(routes.WrongTokensError, match=r"^\w+: expected the tokens of plain prefill \[.*\], got \["):
        serve(routes, engine, prompt(1500))
    engine.forget()
