"""Texts with facts to recall among sentences of a small grammar.

A text is BOS, then facts among sentences (article noun verb article noun, verbs agree with their subject), then
questions: a key of the text and, to be predicted, its value. A fact is one token that stands for a key with a value;
which value a key has is drawn anew for every text, so it can only be read from the cache.
"""

import numpy as np

BOS, ASK = 0, 1
NUM_KEYS, NUM_VALUES, NUM_NOUNS, NUM_VERBS = 32, 16, 40, 12
FACTS = 2 + np.arange(NUM_KEYS * NUM_VALUES).reshape(NUM_KEYS, NUM_VALUES)
KEYS = FACTS[-1, -1] + 1 + np.arange(NUM_KEYS)
VALUES = KEYS[-1] + 1 + np.arange(NUM_VALUES)
ARTICLES = VALUES[-1] + 1 + np.arange(4).reshape(2, 2)  # two for each class of nouns
NOUNS = ARTICLES[-1, -1] + 1 + np.arange(2 * NUM_NOUNS).reshape(2, NUM_NOUNS)
VERBS = NOUNS[-1, -1] + 1 + np.arange(2 * NUM_VERBS).reshape(2, NUM_VERBS)
VOCABULARY = int(VERBS[-1, -1]) + 1


def texts(count: int, body_tokens: int, num_questions: int, draw: np.random.Generator) -> np.ndarray:
    """[count, body_tokens + 2 num_questions] int64; token body_tokens - 1 is ASK, which opens the questions."""
    return np.stack([_text(body_tokens, num_questions, draw) for _ in range(count)])


def _text(body_tokens: int, num_questions: int, draw: np.random.Generator) -> np.ndarray:
    num_facts = min(NUM_KEYS, body_tokens // 8)
    keys, values = draw.permutation(NUM_KEYS)[:num_facts], draw.integers(0, NUM_VALUES, num_facts)
    facts = [FACTS[key, value, None] for key, value in zip(keys, values, strict=True)]
    sentences = [_sentence(draw) for _ in range((body_tokens - 2 - num_facts) // 5)]
    pieces = facts + sentences
    body = np.concatenate([pieces[place] for place in draw.permutation(len(pieces))])
    padding = _sentence(draw)[: body_tokens - 2 - len(body)]
    asked = draw.integers(0, num_facts, num_questions)
    questions = np.column_stack([KEYS[keys[asked]], VALUES[values[asked]]]).ravel()
    return np.concatenate([[BOS], body, padding, [ASK], questions])


def _sentence(draw: np.random.Generator) -> np.ndarray:
    subject, object_ = draw.integers(0, 2, 2)
    choices = (ARTICLES[subject], NOUNS[subject], VERBS[subject], ARTICLES[object_], NOUNS[object_])
    return np.array([words[draw.integers(len(words))] for words in choices])
