"""What holds of every plan: against single routes, against the bound, against trying everything."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gainful.sparkv.bound import lower_bound_s
from gainful.sparkv.chunks import ChunkLayout
from gainful.sparkv.costs import ComputeModel, RouteCosts, route_costs
from gainful.sparkv.link import LinkEstimate
from gainful.sparkv.planner import PlannerOptions, plan

EAGER = PlannerOptions(min_gain_ratio=0.0, min_gain_chunks=0.0)
ROUNDING = 1e-9
SECONDS = st.floats(0.0, 100.0, allow_subnormal=False)


@st.composite
def any_costs(draw, max_chunks=12):
    """Nothing is said of their order."""
    count = draw(st.integers(0, max_chunks))
    chunks = st.lists(SECONDS, min_size=count, max_size=count)
    return RouteCosts(np.array(draw(chunks), dtype=float), np.array(draw(chunks), dtype=float), draw(SECONDS))


@st.composite
def engine_costs(draw, max_chunks=12):
    """What an engine and a link of one rate give: compute costs that do not fall, equal stream costs."""
    costs = draw(any_costs(max_chunks))
    return RouteCosts(np.sort(costs.compute_s), np.full(len(costs.compute_s), draw(SECONDS)), costs.round_trip_s)


def finish(costs, computed):
    """Seconds if exactly these chunks are computed."""
    streamed = costs.stream_s[~computed]
    stream = costs.round_trip_s + streamed.sum() if streamed.size else 0.0
    return max(costs.compute_s[computed].sum(), stream)


def best_of_all(costs):
    choices = itertools.product([False, True], repeat=len(costs.compute_s))
    return min(finish(costs, np.array(choice, dtype=bool)) for choice in choices)


def best_of_splits(costs):
    places = np.arange(len(costs.compute_s))
    return min(finish(costs, places < split) for split in range(len(places) + 1))


def about(value):
    return ROUNDING * max(1.0, value)


@given(any_costs())
def test_never_slower_than_either_route_alone(costs):
    for options in (EAGER, PlannerOptions()):
        found = plan(costs, options=options).prediction
        assert found.seconds <= min(found.compute_only_seconds, found.stream_only_seconds)


@given(any_costs())
def test_the_best_split_is_what_trying_all_splits_finds(costs):
    found = plan(costs, options=EAGER)
    assert abs(found.prediction.hybrid_seconds - best_of_splits(costs)) <= about(found.prediction.hybrid_seconds)


@given(engine_costs(max_chunks=10))
def test_no_assignment_beats_a_split_where_compute_costs_do_not_fall(costs):
    found = plan(costs, options=EAGER).prediction.seconds
    assert found <= best_of_all(costs) + about(found)


@given(any_costs(max_chunks=10))
def test_no_assignment_beats_the_bound(costs):
    bound = lower_bound_s(costs)
    assert bound <= best_of_all(costs) + about(bound)


@given(any_costs(max_chunks=40))
def test_no_plan_beats_the_bound(costs):
    found = plan(costs).prediction
    assert found.seconds >= found.bound_seconds - about(found.seconds)


@given(engine_costs(max_chunks=40))
def test_a_plan_is_within_one_chunk_of_the_bound(costs):
    found = plan(costs, options=EAGER).prediction
    chunk = max([0.0, *costs.compute_s, *costs.stream_s])
    assert found.seconds <= found.bound_seconds + chunk + about(found.seconds)


@given(engine_costs(), st.floats(1.0, 10.0))
def test_more_bandwidth_never_takes_longer_and_never_computes_more(costs, faster):
    quicker = RouteCosts(costs.compute_s, costs.stream_s / faster, costs.round_trip_s)
    slow, fast = (plan(each, options=EAGER).prediction for each in (costs, quicker))
    assert fast.hybrid_seconds <= slow.hybrid_seconds + about(slow.hybrid_seconds)
    assert fast.bound_seconds <= slow.bound_seconds + about(slow.bound_seconds)


@given(any_costs(), st.floats(0.0, 0.9), st.floats(0.0, 5.0))
def test_a_mixed_plan_gains_what_was_asked_for(costs, ratio, chunks):
    found = plan(costs, options=PlannerOptions(min_gain_ratio=ratio, min_gain_chunks=chunks))
    prediction = found.prediction
    if found.declined:
        assert found.split in (0, found.num_chunks)
        return
    single = min(prediction.compute_only_seconds, prediction.stream_only_seconds)
    slower = max(costs.compute_s[found.split - 1], costs.stream_s[found.split])
    assert single - prediction.seconds >= max(ratio * single, chunks * slower)


@given(any_costs(max_chunks=10), st.data())
def test_chunks_that_never_arrive_are_computed(costs, data):
    dead = np.array(
        data.draw(st.lists(st.booleans(), min_size=len(costs.stream_s), max_size=len(costs.stream_s))), bool
    )
    broken = RouteCosts(costs.compute_s, np.where(dead, np.inf, costs.stream_s), costs.round_trip_s)
    found = plan(broken, options=EAGER)
    assert not dead[found.split :].any()
    assert found.prediction.bound_seconds <= best_of_all(broken) + about(found.prediction.bound_seconds)


@given(
    st.integers(1, 64),
    st.floats(1e-6, 1e-2),
    st.floats(0.0, 1e-6),
    st.floats(1e4, 1e10),
    st.floats(0.0, 0.2),
    st.integers(0, 8),
)
def test_models_give_costs_for_which_the_bound_is_tight(count, alpha, beta, rate, round_trip, first_block):
    layout = ChunkLayout(count, 128, 1 << 20, first_token=128 * first_block)
    model = ComputeModel(step_seconds=1e-3, token_seconds=alpha, pair_seconds=beta, num_samples=8, relative_error=0.0)
    costs = route_costs(layout, model, LinkEstimate(rate, rate, rate, round_trip, 8))
    found = plan(costs, options=EAGER).prediction
    chunk = max(costs.compute_s.max(), costs.stream_s.max())
    assert 1.0 - ROUNDING <= found.over_bound <= 1.0 + chunk / found.bound_seconds + ROUNDING
