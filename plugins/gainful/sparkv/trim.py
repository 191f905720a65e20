"""How long the engine's next step should be, so that it ends where the stream will be by then.

An engine cannot leave a step: if both routes meet in the middle of one, the rest of it computes what has come already.
On average that is half a step, each time. A step that is cut where they are expected to meet loses a block at most, and
one that was cut too short costs the fixed seconds of one more.
"""

import numpy as np
from numpy.typing import NDArray

from gainful.sparkv.chunks import FloatArray
from gainful.sparkv.costs import ComputeModel

__all__ = ["step_to_meet", "trimmed_step"]


def step_to_meet(
    ends_s: FloatArray, end_tokens: NDArray[np.int64], staged_token: int, chunk_tokens: int, chunk_stream_s: float
) -> int:
    """The first end at which the stream will be there, or the last one if it will not be.

    Half of the chunk that is on its way counts as arrived.

    Args:
        ends_s: [K], ascending: seconds from now at which a step ends.
        end_tokens: [K]: the position at which it then is.
        staged_token: Where the contiguous staged span begins now.
        chunk_tokens: Tokens of a chunk.
        chunk_stream_s: Seconds between two arrivals, > 0; infinite for a dead link.

    Source: ours; the paper's engine computes single cells and has no steps.
    """
    arrived = np.floor(ends_s / chunk_stream_s + 0.5) * chunk_tokens
    has_met = end_tokens >= staged_token - arrived
    return int(end_tokens[np.argmax(has_met)] if has_met.any() else end_tokens[-1])


def trimmed_step(
    compute: ComputeModel,
    computed_tokens: int,
    staged_token: int,
    *,
    chunk_tokens: int,
    chunk_stream_s: float,
    block_tokens: int,
    step_tokens: int,
) -> int:
    """Tokens of the next step, at least one and at most `step_tokens`; it ends on a block or is a whole one."""
    first = computed_tokens - computed_tokens % block_tokens + block_tokens
    last = computed_tokens + step_tokens
    end_tokens = np.append(np.arange(first, last, block_tokens), last)
    ends_s = compute.seconds((end_tokens - computed_tokens).astype(np.float64), computed_tokens)
    return step_to_meet(ends_s, end_tokens, staged_token, chunk_tokens, chunk_stream_s) - computed_tokens
