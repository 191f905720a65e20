"""A trajectory's probes: in the background, never zero for what is missing, faults with their reason."""

import asyncio
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gainful.carry import MARKER, carry, runs
from gainful.errors import ConfigError, PluginError
from gainful.infogain import AnswerSample, Missing
from gainful.infogain.path import probe_of_each_turn, values_to_carry
from gainful.infogain.services import Services
from gainful.infogain.tally import ProbeUse, Tally
from gainful.infogain.tracker import Asked, BeliefTracker
from gainful.infogain.training import TrainingOptions, read_training
from gainful.metrics_file import MetricsFile

ASKED = Asked("uid-1", "nq", "Where is the Louvre?", ("paris",), 3)
THREE_TURNS = [1, 1, 0, 0, 1, 1, 1, 0, 1, 1]


def answers(num_right, total=8):
    return [AnswerSample("Paris")] * num_right + [AnswerSample("Lyon")] * (total - num_right)


class FakeProbe:
    """Answers by prefix; a callable is called each time."""

    def __init__(self, by_prefix):
        self.by_prefix, self.asked = by_prefix, []

    async def sample(self, prefix, num_samples, seed):
        self.asked.append((prefix, num_samples, seed))
        found = self.by_prefix[prefix]
        return await found() if callable(found) else found

    async def gold_logprob(self, prefix, gold):
        self.asked.append((prefix, gold))
        return self.by_prefix[prefix]


def measure(by_prefix, mask=THREE_TURNS, *, asked=ASKED, services=None, after=((4, "one"), (8, "two")), **options):
    """Run one trajectory; returns what was measured and the probe."""
    settings = TrainingOptions(**options)
    probe = FakeProbe(by_prefix)

    async def trajectory():
        tracker = BeliefTracker(probe, asked, settings, services or Services(settings))
        tracker.begin("prompt", "prompt")
        for num_tokens, prefix in after:
            tracker.observe(prefix, num_tokens)
        return await tracker.finish(mask)

    return asyncio.run(trajectory()), probe


async def hang():
    await asyncio.sleep(60)


async def fail():
    raise ConnectionError("engine is down")


class TestValues:
    def test_gains_of_a_path(self):
        found, probe = measure({"prompt": answers(2), "one": answers(4), "two": answers(8)})
        assert found.values == pytest.approx((0.25, 0.5))
        assert found.uncertainties == pytest.approx((-0.25, -0.5, -1.0))
        assert sorted(asked[0] for asked in probe.asked) == ["one", "prompt", "two"]
        assert len({asked[2] for asked in probe.asked}) == 1  # one seed before and after

    def test_equal_beliefs_gain_exactly_nothing(self):
        found, _ = measure({"prompt": answers(3), "one": answers(3), "two": answers(3)})
        assert found.values == (0.0, 0.0)

    def test_the_last_turn_has_no_value_and_a_lone_turn_none_at_all(self):
        found, _ = measure({"prompt": answers(3)}, [1, 1, 1], after=())
        assert found.values == found.readings == ()

    def test_cut_response_drops_what_points_past_its_end(self):
        by_prefix = {"prompt": answers(2), "one": answers(4), "two": answers(8)}
        found, _ = measure(by_prefix, THREE_TURNS[:6])
        assert found.values == pytest.approx((0.25,))

    def test_likelihood_reads_the_best_alias_and_draws_nothing(self):
        by_prefix = {"prompt": [-2.3, -4.0], "one": [-1.7, -9.0], "two": [-3.0, -0.4]}
        found, probe = measure(by_prefix, kind="likelihood", likelihood={"form": "log"})
        assert found.values == pytest.approx((0.6, 1.3))
        assert ("prompt", ("paris",)) in probe.asked

    def test_discounted_values_are_immediate_gains(self):
        by_prefix = {"prompt": answers(2), "one": answers(4), "two": answers(8)}
        found, _ = measure(by_prefix, turn_gamma=0.9)
        assert found.values == pytest.approx((0.25, 0.5))

    def test_fixed_increments_start_from_the_first_belief(self):
        by_prefix = {"prompt": answers(2), "one": answers(4), "two": answers(8)}
        found, _ = measure(by_prefix, increments="fixed", form="trajectory_mean")
        assert found.values == pytest.approx((0.25, 0.75))


class TestFaults:
    GOOD = ("prompt", "one", "two")

    def with_fault(self, fault, where="one", **options):
        by_prefix = {"prompt": answers(2), "one": answers(4), "two": answers(8), where: fault}
        return measure(by_prefix, **options)

    @pytest.mark.parametrize(
        ("fault", "reason", "tries"),
        [
            (hang, "probe_timeout", 2),
            (fail, "probe_failed", 2),
            (Missing("probe_failed"), "probe_failed", 2),
            (Missing("no_room"), "no_room", 1),
            ([], "probe_empty", 1),
        ],
    )
    def test_a_missing_belief_has_its_reason_and_never_becomes_zero(self, fault, reason, tries):
        found, probe = self.with_fault(fault, probe={"timeout_s": 0.05})
        assert found.uncertainties[1].reason == reason
        assert found.values == (pytest.approx(0.75), None)  # the first value stands for both turns
        assert [asked[0] for asked in probe.asked].count("one") == tries

    def test_no_gain_is_known_without_the_last_belief(self):
        found, _ = self.with_fault(fail, where="two")
        assert found.values == (None, None)

    def test_a_gap_spoils_discounted_and_fixed_rows_throughout(self):
        assert self.with_fault(fail, turn_gamma=0.9)[0].values == (None, None)
        found, _ = self.with_fault(fail, increments="fixed", form="trajectory_sum")
        assert found.values == (None, None)

    def test_a_broken_judge_is_missing(self):
        class Broken:
            name, revision = "broken", "1"

            def entail(self, question, pairs):
                raise PluginError("no")

        settings = TrainingOptions()
        services = Services(settings)
        services.judge.judge = Broken()
        found, _ = measure({"prompt": answers(2), "one": answers(8), "two": answers(4)}, services=services)
        before, one, two = found.uncertainties
        assert before.reason == two.reason == "judge_failed"
        assert one == -1.0  # all answers are the gold one, which needs no judge
        assert found.values == (None, None)

    def test_no_gold_answer(self):
        asked = Asked("uid-1", "nq", "Why?", (), 3)
        found, probe = measure({"prompt": answers(2)}, asked=asked)
        assert {value.reason for value in found.uncertainties} == {"no_gold"}
        assert probe.asked == []
        by_prefix = {"prompt": answers(4), "one": answers(4), "two": answers(8)}
        found, _ = measure(by_prefix, asked=asked, kind="gini")  # needs none
        assert not any(isinstance(value, Missing) for value in found.uncertainties)

    def test_over_budget(self):
        found, probe = measure(
            {"prompt": answers(2), "one": answers(4), "two": answers(8)}, probe={"max_per_question": 2}
        )
        reasons = [value.reason for value in found.uncertainties if isinstance(value, Missing)]
        assert reasons == ["over_budget"]
        assert len(probe.asked) == 2

    def test_a_turn_that_nobody_probed(self):
        found, _ = measure({"prompt": answers(2), "two": answers(8)}, after=((8, "two"),))
        assert found.uncertainties[1].reason == "probe_failed"
        assert found.values == (pytest.approx(0.75), None)


class TestBaseline:
    def test_rollouts_of_a_question_share_it(self):
        settings = TrainingOptions()
        services = Services(settings)
        probe = FakeProbe({"prompt": answers(2), "one": answers(4), "two": answers(8)})

        async def group():
            trackers = [BeliefTracker(probe, ASKED, settings, services) for _ in range(4)]
            for tracker in trackers:
                tracker.begin("prompt", "prompt")
                tracker.observe("one", 4)
                tracker.observe("two", 8)
            return await asyncio.gather(*(tracker.finish(THREE_TURNS) for tracker in trackers))

        found = asyncio.run(group())
        assert len({measured.values for measured in found}) == 1
        assert [asked[0] for asked in probe.asked].count("prompt") == 1

    def test_a_trajectory_without_search_does_not_end_the_probe_of_others(self):
        settings = TrainingOptions()
        services = Services(settings)

        async def slowly():
            await asyncio.sleep(0.05)
            return answers(2)

        probe = FakeProbe({"prompt": slowly, "one": answers(4), "two": answers(8)})

        async def group():
            quick, other = (BeliefTracker(probe, ASKED, settings, services) for _ in range(2))
            quick.begin("prompt", "prompt")
            other.begin("prompt", "prompt")
            other.observe("one", 4)
            other.observe("two", 8)
            await asyncio.sleep(0)
            assert (await quick.finish([1, 1])).values == ()
            return await other.finish(THREE_TURNS)

        assert asyncio.run(group()).values == pytest.approx((0.25, 0.5))


class TestPath:
    def test_a_probe_belongs_to_the_turn_before_it(self):
        turns = runs(THREE_TURNS)
        assert probe_of_each_turn(turns, [4, 8]) == [0, 1]
        assert probe_of_each_turn(turns, [3, 4, 5, 12]) == [1, None]

    @given(st.lists(st.floats(-3, 3) | st.none(), min_size=1, max_size=6), st.data())
    def test_sums_to_the_end_are_right_whatever_is_missing(self, path, data):
        lengths = data.draw(st.lists(st.integers(1, 3), min_size=len(path), max_size=len(path)))
        mask = [bit for length in lengths for bit in (*[1] * length, 0)]
        turns = runs(mask)
        known = [Missing("probe_failed") if value is None else value for value in path]
        values = values_to_carry(turns, known, increments="telescoping", gamma=1.0)
        for place, value in enumerate(values):
            can_be_known = path[place] is not None and path[-1] is not None and lengths[place] > 1
            assert (value is not None) == can_be_known
            if can_be_known:
                to_go = math.fsum(later for later in values[place:] if later is not None)
                assert to_go == pytest.approx(path[place] - path[-1], abs=1e-12)
        assert sum(abs(part) == MARKER for _, part in carry(turns, values)) % 2 == 0


class TestOptions:
    def test_measures(self):
        assert TrainingOptions().measures
        assert not TrainingOptions(weight=0).measures
        assert TrainingOptions(weight=0, probe={"always": True}).measures
        assert not TrainingOptions(enabled=False).measures

    def test_served_preset_is_blind_to_what_the_policy_wrote(self):
        options = read_training({"preset": "inforeasoner_served", "probe": {"max_tokens": 16}}, where="here")
        assert (options.probe.context, options.probe.max_tokens, options.form) == ("evidence", 16, "trajectory_sum")

    @pytest.mark.parametrize(
        ("section", "message"),
        [
            ({"probe": {"model": "endpoint"}}, "belong together"),
            ({"probe": {"endpoint_url": "http://x/v1", "endpoint_model": "m"}}, "belong together"),
            ({"log_texts": True}, "metrics_path"),
            ({"sampels": 4}, "did you mean 'samples'"),
            ({"turn_gamma": 0}, "turn_gamma"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, section, message):
        with pytest.raises(ConfigError, match=message):
            read_training(section, where="algorithm.gainful")


class TestTally:
    def test_one_line_when_nothing_is_in_progress(self, tmp_path):
        settings = TrainingOptions()
        services = Services(settings)
        tally = Tally(settings, services)
        good, _ = measure({"prompt": answers(2), "one": answers(4), "two": answers(8)}, services=services)
        bad, _ = measure(
            {"prompt": Missing("no_room"), "one": answers(4), "two": answers(8)},
            asked=Asked("uid-2", "nq", "Where?", ("paris",), 4),
            services=services,
        )
        tally.begin("uid-1")
        tally.begin("uid-2")
        tally.add(good, ProbeUse(num_calls=24, new_tokens=48, prompt_tokens=100, cached_tokens=90, versions={3}))
        assert tally.end(step=7) is None
        tally.add(bad, ProbeUse(num_calls=16, versions={3, 4}), failed_retrievals=1)
        line = tally.end(step=7)
        assert line["step"] == 7
        expected = {
            "rows": 2,
            "searched": 2,
            "gains": 4,
            "missing_no_room": 1,
            "not_carried_rate": 0.25,
            "probes_per_question": 20,
            "cached_token_rate": 0.9,
            "version_mixed_rate": 0.5,
            "retrieval_failures": 1,
            "judge_reference": 256,
            "gold_mass_before": 0.25,
            "gold_mass_after": 1.0,
        }
        assert {name: line[f"infogain/{name}"] for name in expected} == pytest.approx(expected)
        assert tally.end(step=8) is None
        MetricsFile(str(tmp_path / "metrics"), "loop").write(line)
        (path,) = (tmp_path / "metrics").iterdir()
        assert json.loads(path.read_text()) == line
