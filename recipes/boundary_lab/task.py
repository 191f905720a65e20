"""The task: reach a target with number tiles, calculated from left to right like on a pocket calculator.

`2 3 5 6 -> 27` has the right answer `5-2+6*3`: 5-2 is 3, plus 6 is 9, times 3 is 27. Each tile may be used once, and at
least two must be used. The operators of an answer are its strategy; which strategies lead to the target is only partly
visible from the problem.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations_with_replacement, permutations, product
from random import Random

import torch
from torch import Tensor

NUM_TILES = 4
TILE_VALUES = range(1, 7)
TARGETS = range(1, 51)
OPERATORS = "+-*"
PLUS, MINUS, TIMES, END, START = range(10, 15)
VOCABULARY = "0123456789+-*.>"
PROMPT_LENGTH = NUM_TILES + 3
"""Tiles, two digits of the target, START."""
ANSWER_LENGTH = 2 * NUM_TILES
"""The longest answer: all tiles, the operators between them, END."""
FAMILIES = ("tuning", "reporting")
HELD_OUT_SHARE = 0.25
_APPLY = {"+": int.__add__, "-": int.__sub__, "*": int.__mul__}

Tiles = tuple[int, ...]


@dataclass(frozen=True)
class Problem:
    """Tiles in ascending order, the target, and every right answer, such as `5-2+6*3`."""

    tiles: Tiles
    target: int
    solutions: tuple[str, ...]

    @property
    def text(self) -> str:
        return f"{' '.join(map(str, self.tiles))} -> {self.target}"

    @property
    def prompt(self) -> list[int]:
        """[PROMPT_LENGTH] tokens."""
        return [*self.tiles, self.target // 10, self.target % 10, START]


def strategy(answer: str) -> str:
    """The operators of an answer: `-+*` for `5-2+6*3`."""
    return answer[1::2]


def value_of(answer: str) -> int:
    """What a pocket calculator shows after `answer`."""
    value = int(answer[0])
    for operator, tile in zip(answer[1::2], answer[2::2], strict=True):
        value = _APPLY[operator](value, int(tile))
    return value


def problems_of(tiles: Tiles) -> list[Problem]:
    """Every target that the tiles can reach."""
    by_target = defaultdict(set)
    for num_used in range(2, NUM_TILES + 1):
        for chosen, operators in product(set(permutations(tiles, num_used)), product(OPERATORS, repeat=num_used - 1)):
            answer = str(chosen[0]) + "".join(f"{o}{t}" for o, t in zip(operators, chosen[1:], strict=True))
            by_target[value_of(answer)].add(answer)
    return [Problem(tiles, target, tuple(sorted(by_target[target]))) for target in TARGETS if target in by_target]


def tile_sets() -> list[Tiles]:
    return list(combinations_with_replacement(TILE_VALUES, NUM_TILES))


@cache
def family(name: str) -> tuple[tuple[Problem, ...], tuple[Problem, ...]]:
    """(training, held out) problems, in random order. Two families share no set of tiles, the two parts no problem."""
    sets = tile_sets()
    Random(0).shuffle(sets)  # noqa: S311  (not a secret)
    own = sorted(sets[FAMILIES.index(name) :: len(FAMILIES)])
    problems = [problem for tiles in own for problem in problems_of(tiles)]
    Random(1).shuffle(problems)  # noqa: S311
    num_held_out = round(HELD_OUT_SHARE * len(problems))
    return tuple(problems[num_held_out:]), tuple(problems[:num_held_out])


def prompts(problems: Sequence[Problem]) -> Tensor:
    """[P, PROMPT_LENGTH] int64."""
    return torch.tensor([problem.prompt for problem in problems])


def encode(answer: str) -> list[int]:
    """[ANSWER_LENGTH] tokens of an answer, filled up with END."""
    tokens = [VOCABULARY.index(character) for character in answer]
    return tokens + [END] * (ANSWER_LENGTH - len(tokens))


def decode(tokens: list[int]) -> str:
    """Text up to the first END, whatever the tokens are."""
    return "".join(VOCABULARY[token] for token in tokens).split(VOCABULARY[END])[0]


def is_right(prompts: Tensor, answers: Tensor) -> Tensor:
    """The verifier: [B] bool for prompts [B, PROMPT_LENGTH] and answers [B, ANSWER_LENGTH].

    Right means: tiles and operators take turns, END follows the second tile or a later one, no tile is used more often
    than it is there, and the value is the target.
    """
    target = 10 * prompts[:, NUM_TILES] + prompts[:, NUM_TILES + 1]
    left = torch.zeros(len(answers), 10, dtype=torch.int64, device=answers.device)
    left.scatter_add_(1, prompts[:, :NUM_TILES], torch.ones_like(prompts[:, :NUM_TILES]))
    value = answers[:, 0].clone()
    valid, ended = _take(left, answers[:, 0]), torch.zeros_like(target, dtype=torch.bool)
    for position in range(1, ANSWER_LENGTH - 1, 2):
        operator, tile = answers[:, position], answers[:, position + 1]
        if position > 1:
            ended = ended | (operator == END)
        is_step = (operator >= PLUS) & (operator <= TIMES) & _take(left, torch.where(ended, 0, tile))
        valid = valid & (ended | is_step)
        added = torch.where(operator == PLUS, value + tile, value - tile)
        stepped = torch.where(operator == TIMES, value * tile, added)
        value = torch.where(ended, value, stepped)
    ended = ended | (answers[:, -1] == END)
    return valid & ended & (value == target)


def _take(left: Tensor, tile: Tensor) -> Tensor:
    """[B] bool: whether the tile is among those left, [B, 10]; takes it away."""
    digit = tile.clamp(0, 9)
    there = (tile < 10) & (left.gather(1, digit[:, None])[:, 0] > 0)
    left.scatter_add_(1, digit[:, None], -there.long()[:, None])
    return there
