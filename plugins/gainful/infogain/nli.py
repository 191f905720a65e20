"""A cross-encoder for natural language inference as judge. torch and transformers are imported when it is built."""

from collections.abc import Sequence
from functools import cached_property
from importlib import import_module
from typing import Any, Protocol

from gainful.errors import ConfigError, MissingExtraError
from gainful.infogain.config import JudgeOptions
from gainful.infogain.judges import Ask
from gainful.infogain.types import Missing, Pair, Value

__all__ = ["NliCrossEncoderJudge", "PairEncoder"]

_PAD_MULTIPLE = 8
_MAX_CHARS = 2_000
"""Of a question, and of an answer, before the tokenizer sees them (ours)."""


class PairEncoder(Protocol):
    """Tokenizer and model of a cross-encoder."""

    def lengths(self, pairs: Sequence[Pair]) -> Sequence[int]:
        """Tokens of each pair, special ones included, before any cut."""

    def entailments(self, pairs: Sequence[Pair], width: int) -> Sequence[float]:
        """Softmax probability of the entailment class per pair: one forward, cut and padded to `width` tokens."""


class NliCrossEncoderJudge:
    """Premise `question? answer`, hypothesis `question? other answer`; P is the model's entailment probability.

    Distinct pairs only, sorted by length, in batches padded to their longest pair rounded up to a multiple of 8. The
    counters are sums since it was built. Nothing but safetensors weights is read, and no code of a model is run.
    """

    name = "nli"

    def __init__(self, options: JudgeOptions, encoder: PairEncoder | None = None) -> None:
        """Remember what to load; the model itself is loaded by the first call.

        Args:
            options: Model, revision, batch size, cut length and device.
            encoder: In place of the model that the options name.

        Raises:
            ConfigError: No model is named.
        """
        if not options.model and encoder is None:
            raise ConfigError("judge: type 'nli' needs judge.model, a sequence classifier with an entailment label")
        self._options = options
        self._given = encoder
        self.revision = f"{options.model}@{options.revision or ''}:{options.max_length}"
        self.num_batches = 0
        self.num_cut = 0
        self.num_tokens = 0
        self.num_pad_tokens = 0

    @cached_property
    def _encoder(self) -> PairEncoder:
        return self._given or TransformersEncoder(self._options)

    def entail(self, question: str, pairs: Sequence[Pair]) -> list[Value]:
        """Probabilities for the pairs of one question."""
        return self.entail_many([Ask(question, *pair) for pair in pairs])

    def entail_many(self, asks: Sequence[Ask]) -> list[Value]:
        """Probabilities for pairs of any questions, in as few batches as they need."""
        distinct = list(dict.fromkeys(asks))
        texts = [_texts(ask) for ask in distinct]
        lengths = self._encoder.lengths(texts)
        order = sorted(range(len(distinct)), key=lambda place: (lengths[place], texts[place]))
        found: dict[Ask, Value] = {}
        for start in range(0, len(order), self._options.batch_size):
            places = order[start : start + self._options.batch_size]
            values = self._batch([texts[place] for place in places], [lengths[place] for place in places])
            found.update((distinct[place], value) for place, value in zip(places, values, strict=True))
        return [found[ask] for ask in asks]

    def _batch(self, texts: Sequence[Pair], lengths: Sequence[int]) -> list[Value]:
        limit = self._options.max_length
        kept = [min(length, limit) for length in lengths]
        width = min(limit, -(-max(kept) // _PAD_MULTIPLE) * _PAD_MULTIPLE)
        self.num_batches += 1
        self.num_cut += sum(length > limit for length in lengths)
        self.num_tokens += width * len(kept)
        self.num_pad_tokens += width * len(kept) - sum(kept)
        try:
            values = self._encoder.entailments(texts, width)
        except RuntimeError as error:  # torch raises it, for memory among others
            return [Missing("judge_failed", type(error).__name__)] * len(texts)
        return [value if 0 <= value <= 1 else Missing("judge_failed", "the model gave no number") for value in values]


def _texts(ask: Ask) -> Pair:
    question = ask.question[:_MAX_CHARS].rstrip(" ?") + "?"
    return f"{question} {ask.premise[:_MAX_CHARS]}", f"{question} {ask.hypothesis[:_MAX_CHARS]}"


class TransformersEncoder:
    """Any `AutoModelForSequenceClassification` with safetensors weights and an entailment label."""

    def __init__(self, options: JudgeOptions) -> None:
        """Load tokenizer and model.

        Raises:
            MissingExtraError: transformers or torch is not installed.
            ConfigError: The model has no entailment label.
        """
        try:
            self._torch = import_module("torch")
            transformers = import_module("transformers")
        except ImportError as error:
            raise MissingExtraError("judge 'nli' needs transformers and torch; pip install 'gainful[nli]'") from error
        source = {"pretrained_model_name_or_path": options.model, "revision": options.revision or "main"}
        self._device = options.device
        self._tokenizer = transformers.AutoTokenizer.from_pretrained(**source)
        model = transformers.AutoModelForSequenceClassification.from_pretrained(**source, use_safetensors=True)
        self._entailment = entailment_index(model.config.id2label)
        self._model = model.to(options.device).eval()

    def lengths(self, pairs: Sequence[Pair]) -> list[int]:
        """See `PairEncoder`."""
        if not pairs:
            return []
        encoded = self._tokenizer([a for a, _ in pairs], [b for _, b in pairs], truncation=False, verbose=False)
        return [len(ids) for ids in encoded["input_ids"]]

    def entailments(self, pairs: Sequence[Pair], width: int) -> list[float]:
        """See `PairEncoder`."""
        encoded = self._tokenizer(
            [a for a, _ in pairs],
            [b for _, b in pairs],
            truncation="longest_first",
            padding="max_length",
            max_length=width,
            return_tensors="pt",
        )
        with self._torch.inference_mode():
            logits = self._model(**encoded.to(self._device)).logits.float()
        found: list[float] = logits.softmax(dim=-1)[:, self._entailment].tolist()
        return found


def entailment_index(labels: dict[int, Any]) -> int:
    """Which class of a model means entailment.

    Raises:
        ConfigError: None or several have that name.
    """
    found = [index for index, label in labels.items() if str(label).casefold() == "entailment"]
    if len(found) != 1:
        raise ConfigError(f"judge.model: expected one label 'entailment', got {list(labels.values())}")
    return int(found[0])
