"""The simulator against values worked out by hand, and the command that shows it."""

import json
import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from typer.testing import CliRunner

from gainful.cli import app
from gainful.errors import InputError
from gainful.sparkv import traces
from gainful.sparkv.chunks import ChunkLayout
from gainful.sparkv.costs import RouteCosts
from gainful.sparkv.scenarios import Setting, scenarios
from gainful.sparkv.simulate import Situation, compute_only_s, hindsight_s, race, static_s, stream_only_s
from gainful.sparkv.timeline import timeline_html
from gainful.sparkv.traces import RateTrace, read_trace


def situation(num_chunks=4, *, compute=1.0, link=None, engine=None, round_trip_s=0.0, decode_seconds=0.0):
    """Chunks of 100 bytes; a link of 100 bytes/s and an engine of full speed unless said otherwise."""
    layout = ChunkLayout(num_chunks, 10, 100)
    costs = RouteCosts(np.full(num_chunks, compute), np.ones(num_chunks), round_trip_s)
    link, engine = link or traces.constant(100.0), engine or traces.constant(1.0)
    return Situation(layout, costs, link, engine, decode_seconds)


class TestTraces:
    def test_work_takes_as_long_as_the_rates_allow(self):
        trace = RateTrace([0.0, 1.0, 3.0], [10.0, 0.0, 5.0])
        # 10 in the first second, nothing in the next two, then 5 a second
        assert trace.finish(0.0, 10.0) == 1.0
        assert trace.finish(0.0, 15.0) == 4.0
        assert trace.finish(0.5, 10.0) == 4.0
        assert trace.finish(2.0, 5.0) == 4.0
        assert trace.finish(7.0, 0.0) == 7.0
        assert trace.work_until(4.0) == 15.0

    def test_what_never_ends_ends_at_infinity(self):
        trace = traces.outage(10.0, 2.0)
        assert trace.finish(0.0, 20.0) == 2.0
        assert trace.finish(0.0, 20.1) == math.inf
        assert trace.finish(math.inf, 1.0) == math.inf

    def test_an_outage_may_end(self):
        assert traces.outage(10.0, 1.0, 3.0).finish(0.0, 20.0) == 4.0

    def test_jitter_keeps_its_mean(self):
        trace = traces.jitter(100.0, 0.3, every_s=0.01, seconds=100.0, seed=1)
        assert trace.work_until(100.0) / 100.0 == pytest.approx(100.0, rel=0.02)

    def test_wifi_moves_to_neighbouring_states_only(self):
        trace = traces.wifi(1.0, seconds=50.0, seed=2)
        states = [traces.WIFI_SHARES.index(rate) for rate in trace.rates]
        assert set(states) == {0, 1, 2, 3}
        assert np.abs(np.diff(states)).max() == 1

    def test_equal_seeds_draw_equal_links(self):
        first, second = (traces.wifi(1.0, seconds=5.0, seed=3).rates for _ in range(2))
        np.testing.assert_array_equal(first, second)

    @pytest.mark.parametrize(
        ("times", "rates"),
        [([], []), ([1.0], [1.0]), ([0.0, 0.0], [1.0, 1.0]), ([0.0], [-1.0]), ([0.0], [math.inf]), ([0.0, 1.0], [1.0])],
    )
    def test_impossible_traces_are_refused(self, times, rates):
        with pytest.raises(InputError, match="RateTrace"):
            RateTrace(times, rates)

    def test_a_recording_is_read_with_its_header_and_unit(self, tmp_path):
        path = tmp_path / "link.csv"
        path.write_text("seconds,mbit\n5.0,8\n6.0,16\n")
        trace = read_trace(path, unit=1e6 / 8)
        assert trace.times_s.tolist() == [0.0, 1.0]
        assert trace.rates.tolist() == [1e6, 2e6]

    @pytest.mark.parametrize("text", ["", "seconds,mbit\n", "0,1\n1\n", "0,1\n1,x\n"])
    def test_a_recording_must_be_numbers(self, tmp_path, text):
        path = tmp_path / "link.csv"
        path.write_text(text)
        with pytest.raises(InputError, match=re.escape(str(path))):
            read_trace(path)


class TestStrategies:
    def test_single_routes(self):
        assert compute_only_s(situation()) == 4.0
        assert stream_only_s(situation(round_trip_s=0.5, decode_seconds=0.25)) == 0.5 + 4 * 1.25

    def test_a_fixed_split_waits_for_the_slower_route(self):
        halved = situation(link=traces.step(100.0, 50.0, 1.0))
        # two streamed chunks: one in the first second, the other in two more
        assert static_s(halved, 2) == 3.0

    def test_two_pointers_end_with_hindsight(self):
        halved = situation(link=traces.step(100.0, 50.0, 1.0))
        # three computed and one streamed, or two and two: 3 s either way
        assert hindsight_s(halved) == race(halved, window_chunks=2).seconds == 3.0

    def test_a_dead_link_leaves_what_had_arrived(self):
        dead = situation(link=traces.outage(100.0, 1.5))
        assert race(dead, window_chunks=2).seconds == 3.0
        assert static_s(dead, 2) == math.inf

    def test_two_dead_routes_are_told_and_not_waited_for(self):
        dead = situation(link=traces.outage(100.0, 0.5), engine=traces.outage(1.0, 0.5))
        assert race(dead, window_chunks=2).seconds == math.inf

    def test_an_engine_finishes_its_step(self):
        fast_link = situation(link=traces.constant(1000.0))
        assert race(fast_link, window_chunks=4).seconds == pytest.approx(0.4)
        assert race(fast_link, window_chunks=4, interruptible=False).seconds == 1.0

    def test_long_steps_are_coarse(self):
        raced = race(situation(8), window_chunks=8, step_chunks=3, interruptible=False)
        # 3 s: three computed, three staged; the next step ends at 6 s
        assert raced.seconds == 6.0

    def test_the_round_trip_is_paid_once_with_a_wide_window_and_each_time_without(self):
        far = situation(4, compute=100.0, round_trip_s=1.0)
        assert race(far, window_chunks=4).seconds == 5.0
        assert race(far, window_chunks=1).seconds == 8.0

    def test_the_way_they_went_is_kept(self):
        raced = race(situation(), window_chunks=2)
        assert raced.computed == ((0.0, 0), (1.0, 1), (2.0, 2))
        assert raced.staged[:2] == ((0.0, 4), (1.0, 3))
        assert (raced.seconds, raced.met_chunk) == (2.0, 2)


CELLS = {outcome.name: outcome for _, outcome in scenarios(Setting())}


class TestScenarios:
    def test_two_pointers_are_as_good_as_hindsight_in_all(self):
        for outcome in CELLS.values():
            assert outcome.two_pointers_s <= outcome.hindsight_s * (1 + 1e-9)

    def test_one_step_is_all_an_engine_loses(self):
        # the dearest of 16 chunks of 1,024 tokens: 1,024 x (8.03e-4 + 2.62e-8 x 15,872) = 1.25 s, thrice that if slowed
        for name, outcome in CELLS.items():
            assert outcome.whole_steps_s <= outcome.hindsight_s + (3.75 if name.startswith("compute") else 1.25)

    def test_a_fixed_split_is_fragile(self):
        assert CELLS["link dead after 2 s"].static_s == math.inf
        assert CELLS["bandwidth / 4 after 1 s"].static_s > 1.5 * CELLS["bandwidth / 4 after 1 s"].two_pointers_s
        assert CELLS["compute / 3 after 1 s"].static_s > 1.5 * CELLS["compute / 3 after 1 s"].two_pointers_s

    def test_constants_give_the_seconds_that_their_formulas_say(self):
        # alpha 8.03e-4 and beta 2.62144e-8 over 16,384 tokens; 32,768 bytes a token over 8e7 bytes/s and 50 ms
        steady = CELLS["nothing changes"]
        assert steady.compute_only_s == pytest.approx(8.03e-4 * 16384 + 2.62144e-8 * 16384**2 / 2)
        assert steady.stream_only_s == pytest.approx(0.05 + 16384 * 32768 / 8e7)


class TestCommand:
    def run(self, *arguments):
        return CliRunner().invoke(app, ["sparkv", "simulate", *arguments])

    def test_the_table_names_every_situation(self):
        done = self.run()
        assert done.exit_code == 0, done.output
        for name in CELLS:
            assert name in done.output
        assert "never" in done.output

    def test_json_is_for_scripts(self):
        records = json.loads(self.run("--json", "--tokens", "4096", "--chunk-tokens", "256").stdout)
        dead = next(record for record in records if record["situation"] == "link dead after 2 s")
        assert dead["num_tokens"] == 4096
        assert dead["two_pointers_s"] >= dead["bound_s"] > 0
        assert dead["plan_route"] == "hybrid"

    def test_never_is_null_in_json(self):
        records = {record["situation"]: record for record in json.loads(self.run("--json").stdout)}
        assert records["link dead after 2 s"]["static_s"] is None

    def test_the_sweep_covers_all_and_keeps_its_promise(self):
        records = json.loads(self.run("--sweep", "--json").stdout)
        assert len(records) == 9 * 3 * 6
        assert {record["num_tokens"] for record in records} == {2048, 4096, 8192, 16384, 32768, 65536}
        for record in records:
            assert record["two_pointers_s"] <= record["hindsight_s"] * (1 + 1e-9)
            assert record["advised_s"] <= min(record["compute_only_s"], record["stream_only_s"]) * (1 + 1e-9)

    def test_the_sweep_prints_a_table_per_round_trip(self):
        printed = self.run("--sweep").output
        assert printed.count("seconds of two pointers") == 3
        assert "two pointers, worst of 162 over hindsight: 1.000" in printed

    def test_a_recording_becomes_a_row(self, tmp_path):
        path = tmp_path / "link.csv"
        path.write_text("0,640\n1,64\n")
        assert "recording" in self.run("--trace", str(path)).output

    def test_input_that_cannot_be_used_ends_with_status_two(self, tmp_path):
        path = tmp_path / "link.csv"
        path.write_text("0,-5\n")
        done = self.run("--trace", str(path))
        assert done.exit_code == 2
        assert "rates must be finite and >= 0" in done.stderr

    def test_a_prompt_shorter_than_a_chunk_is_computed(self):
        records = json.loads(self.run("--json", "--tokens", "100").stdout)
        assert {record["two_pointers_s"] for record in records} == {0.0}

    def test_the_page_is_well_formed_and_loads_nothing(self, tmp_path):
        path = tmp_path / "race.html"
        assert self.run("--html", str(path)).exit_code == 0
        page = path.read_text()
        assert not re.search(r"<script|https?://|url\(|@import|src=", page)
        pictures = [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", page, flags=re.S)]  # noqa: S314
        assert len(pictures) == len(CELLS)
        assert all(picture.get("aria-label") for picture in pictures)
        assert "prefers-color-scheme:dark" in page

    def test_names_are_escaped(self):
        setting, outcome = next(iter(scenarios(Setting(num_tokens=2048))))
        renamed = type(outcome)(**{name: getattr(outcome, name) for name in outcome.__slots__} | {"name": '<b>"x"'})
        page = timeline_html([(setting, renamed)])
        assert "<b>" not in page
        assert "&lt;b&gt;" in page
