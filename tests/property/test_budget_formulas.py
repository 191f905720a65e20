"""Shapes that the formulas must have for all inputs."""

from hypothesis import given
from hypothesis import strategies as st

from gainful.budget import Budget, ControllerConfig, Ledger, PriceTable
from gainful.budget.actions import Passage
from gainful.budget.citations import split_citations
from gainful.budget.names import names
from gainful.budget.passages import as_evidence, clean, index_passage
from gainful.budget.proposal import parse_critic_score, parse_proposal
from gainful.budget.question import read_question
from gainful.budget.scoring import denominator, penalty, pressure, shadow_price
from gainful.budget.spans import answer_type, options_of, spans_of
from gainful.budget.text import idf, jaccard, normalise, share_covered, tokens

CONFIG = ControllerConfig()
SHARES = st.floats(0, 1)
AXES = ("tool_calls", "output_tokens", "seconds")
LIMITS = st.fixed_dictionaries({axis: st.integers(0, 10**9) for axis in AXES})
TEXT = st.one_of(st.text(max_size=200), st.from_regex(r"([A-Z][a-z]+ (or|of|and|'s) ){0,12}\?{0,3}", fullmatch=True))


@given(SHARES, SHARES, st.floats(0, 10), st.floats(0, 5))
def test_the_shadow_price_never_falls_with_pressure(low, high, scale, power):  # I13
    low, high = sorted((low, high))
    config = ControllerConfig(shadow_price=scale, shadow_power=power)
    assert 0 <= shadow_price(low, config) <= shadow_price(high, config) <= config.shadow_price_max


@given(SHARES, LIMITS, LIMITS, st.sampled_from(AXES), st.integers(0, 10**9))
def test_the_penalty_never_falls_with_cost(price, limits, cost, axis, more):  # I13
    assert penalty(price, cost, limits) <= penalty(price, {**cost, axis: cost[axis] + more}, limits)


@given(LIMITS, LIMITS, LIMITS)
def test_the_denominator_is_finite_and_not_negative(cost, left, held):
    assert 0 <= denominator(cost, left, held, CONFIG) <= 2 * 10**9


@given(st.lists(SHARES))
def test_pressure_is_a_share(shares):
    assert 0 <= pressure(shares) <= 1


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.floats(0, 100), st.floats(0, 100))
def test_more_tokens_never_cost_less(first, second, price_in, price_out):
    prices = PriceTable(input=price_in, output=price_out)
    fewer, more = sorted((first, second))
    assert prices.micros({"input_tokens": fewer}) <= prices.micros({"input_tokens": more})
    assert prices.micros({"output_tokens": fewer}) <= prices.micros({"output_tokens": more})


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_the_reserve_never_exceeds_its_limit(tokens_limit, own):
    assert 0 <= Ledger(Budget(output_tokens=tokens_limit)).held["output_tokens"] <= tokens_limit
    assert 0 <= Ledger(Budget(output_tokens=tokens_limit, answer_reserve=own)).held["output_tokens"] <= tokens_limit


@given(TEXT)
def test_any_question_can_be_read(text):
    form = read_question(text, CONFIG)
    assert 0 <= form.compositionality <= 1
    assert 1 <= form.hops(CONFIG) <= 3
    options = options_of(text)
    assert options is None or all(option in text for option in options)
    assert (answer_type(text) == "choice") == (options is not None)


@given(TEXT)
def test_spans_stand_in_their_text(text):
    for kind in ("date", "year", "number", "name"):
        assert all(span in text for span in spans_of(kind, text))
    assert all(name in text for name in names(text))


@given(TEXT)
def test_any_reply_can_be_read(text):
    proposal = parse_proposal(text)
    assert not (proposal.next_query and proposal.done)
    score = parse_critic_score(text)
    assert score is None or 0 <= score <= 1
    _, cited = split_citations(text, ["a", "b"])
    assert set(cited) <= {"a", "b"}


@given(st.text(), st.integers(0, 50))
def test_cleaned_text_is_short_and_writable(text, limit):
    cleaned = clean(text, limit)
    assert len(cleaned) <= limit
    cleaned.encode()


@given(st.lists(st.builds(Passage, text=st.text(max_size=30), title=st.text(max_size=10)), max_size=6))
def test_evidence_is_distinct_and_indexed(found):
    found = [Passage(title=clean(p.title, 99), text=clean(p.text, 99)) for p in found]
    evidence = as_evidence(found, 0)
    assert {(item.title, item.text) for item in evidence} == {(passage.title, passage.text) for passage in found}
    assert len({item.id for item in evidence}) == len(evidence)
    for item in evidence:
        assert index_passage(item, read_question("who", CONFIG), CONFIG).words == set(
            tokens(f"{item.title} {item.text}")
        )


@given(st.lists(st.sets(st.sampled_from("abcdef")), max_size=6), st.sets(st.sampled_from("abcdef"), min_size=1))
def test_coverage_is_a_share_and_complete_for_all_terms(documents, terms):
    weights = idf(documents, terms)
    assert all(weight >= 1 or len(documents) for weight in weights.values())
    assert share_covered(weights, terms) == 1
    assert 0 <= share_covered(weights, set("abc")) <= 1


@given(st.sets(st.text(max_size=3)), st.sets(st.text(max_size=3)))
def test_similarity_is_symmetric_and_one_for_equal_sets(left, right):
    assert jaccard(left, right) == jaccard(right, left)
    assert (jaccard(left, right) == 1) == (left == right)


@given(st.text(max_size=100))
def test_normalising_twice_changes_nothing(text):
    assert normalise(normalise(text)) == normalise(text)
