"""How pairs become batches of a cross-encoder; the encoder is a fake that keeps its forwards."""

from importlib.util import find_spec

import pytest

from gainful.errors import ConfigError, MissingExtraError
from gainful.infogain import JudgeOptions, SharedJudge
from gainful.infogain.judges import Ask
from gainful.infogain.nli import NliCrossEncoderJudge, TransformersEncoder, entailment_index


class CharEncoder:
    """One token per character; P is the share of the hypothesis within both."""

    def __init__(self):
        self.forwards = []

    def lengths(self, pairs):
        return [len(a) + len(b) for a, b in pairs]

    def entailments(self, pairs, width):
        self.forwards.append((list(pairs), width))
        return [len(b) / (len(a) + len(b)) for a, b in pairs]


def judge(**options):
    encoder = CharEncoder()
    return NliCrossEncoderJudge(JudgeOptions(type="nli", model="m", **options), encoder), encoder


def test_premise_and_hypothesis_follow_the_question():
    nli, encoder = judge()
    nli.entail("where is it ? ", [("paris", "lyon")])
    nli.entail("where is it", [("paris", "lyon")])
    for pairs, _ in encoder.forwards:
        assert pairs == [("where is it? paris", "where is it? lyon")]


def test_values_come_back_in_the_order_of_the_pairs_and_repeats_are_not_computed():
    nli, encoder = judge(batch_size=2)
    pairs = [("aaaaaaaa", "b"), ("a", "b"), ("aaaaaaaa", "b"), ("aaa", "b")]
    values = nli.entail("q", pairs)
    expected = [len(f"q? {b}") / (len(f"q? {a}") + len(f"q? {b}")) for a, b in pairs]
    assert values == expected
    assert [len(batch) for batch, _ in encoder.forwards] == [2, 1]
    assert nli.num_batches == 2


def test_batches_are_sorted_by_length_and_padded_to_a_multiple_of_eight():
    nli, encoder = judge(batch_size=2)
    nli.entail("q", [("a" * 30, "b"), ("a", "b"), ("a" * 29, "b"), ("aa", "b")])
    # "q? " twice and the answers: 8 and 9 tokens, then 36 and 37
    assert [width for _, width in encoder.forwards] == [16, 40]
    assert nli.num_tokens == 2 * 16 + 2 * 40
    assert nli.num_pad_tokens == (16 - 8) + (16 - 9) + (40 - 36) + (40 - 37)


def test_long_pairs_are_cut_and_counted():
    nli, encoder = judge(max_length=16)
    nli.entail("q", [("a" * 100, "b"), ("a", "b")])
    assert encoder.forwards[0][1] == 16
    assert nli.num_cut == 1


def test_texts_are_bounded_before_the_tokenizer_sees_them():
    nli, encoder = judge()
    nli.entail("q" * 100_000, [("a" * 10_000, "b" * 10_000)])
    premise, hypothesis = encoder.forwards[0][0][0]
    assert len(premise) <= 4_100
    assert len(hypothesis) <= 4_100


def test_questions_share_a_batch_behind_the_cache():
    nli, encoder = judge()
    shared = SharedJudge(nli)
    shared.entail_many([Ask("q", "a", "b"), Ask("r", "a", "b"), Ask("q", "a", "b")])
    assert [len(batch) for batch, _ in encoder.forwards] == [2]


def test_a_model_that_fails_or_gives_no_number_leaves_the_value_missing():
    nli, encoder = judge()
    encoder.entailments = lambda pairs, width: [float("nan")] * len(pairs)
    assert nli.entail("q", [("a", "b")])[0].reason == "judge_failed"

    def out_of_memory(pairs, width):
        raise RuntimeError("out of memory")

    encoder.entailments = out_of_memory
    assert [value.reason for value in nli.entail("q", [("a", "b"), ("b", "a")])] == ["judge_failed"] * 2


def test_the_entailment_class_is_read_from_the_labels():
    assert entailment_index({0: "CONTRADICTION", 1: "NEUTRAL", 2: "ENTAILMENT"}) == 2
    assert entailment_index({0: "entailment", 1: "not_entailment"}) == 0
    with pytest.raises(ConfigError, match="expected one label 'entailment', got"):
        entailment_index({0: "LABEL_0", 1: "LABEL_1"})


def test_what_changes_values_is_part_of_the_revision():
    revisions = {judge(**options)[0].revision for options in ({}, {"max_length": 64}, {"revision": "v2"})}
    assert len(revisions) == 3


@pytest.mark.skipif(find_spec("transformers") is not None, reason="transformers is installed")
def test_without_transformers_the_extra_is_named():
    with pytest.raises(MissingExtraError, match=r"pip install 'gainful\[nli\]'"):
        TransformersEncoder(JudgeOptions(type="nli", model="m"))


@pytest.fixture
def tiny_model(tmp_path):
    """A cross-encoder of random weights, built here: nothing is downloaded."""
    transformers = pytest.importorskip("transformers")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "where", "?", "paris", "lyon"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    transformers.BertTokenizerFast(str(tmp_path / "vocab.txt")).save_pretrained(tmp_path)
    config = transformers.BertConfig(
        vocab_size=len(words),
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        id2label={0: "contradiction", 1: "neutral", 2: "entailment"},
    )
    transformers.BertForSequenceClassification(config).eval().save_pretrained(tmp_path, safe_serialization=True)
    return str(tmp_path)


def test_a_real_encoder_gives_the_same_value_in_any_batch(tiny_model):
    pairs = [("paris", "lyon"), ("lyon " * 20, "paris"), ("paris paris", "lyon")]
    wide, narrow = (
        NliCrossEncoderJudge(JudgeOptions(type="nli", model=tiny_model, batch_size=size)) for size in (64, 1)
    )
    together, alone = wide.entail("where", pairs), narrow.entail("where", pairs)
    assert together == pytest.approx(alone, abs=1e-5)
    assert all(0 < value < 1 for value in together)
