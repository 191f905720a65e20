"""What the ranks of an engine have staged of one request, as the one who schedules it sees it.

Every tensor-parallel rank runs a race of its own, since each streams its own heads. A request can take over only what
all of them hold.
"""

from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["StagedSpan", "common_span"]


class StagedSpan(NamedTuple):
    """Tokens [start, end) that are verified and in host memory, on chunk boundaries; empty if the two are equal."""

    start_token: int
    end_token: int
    floor_token: int
    """It cannot begin before this position any more, whatever still comes; `start_token` if nothing will."""

    def may_reach(self, computed_tokens: int) -> bool:
        """Whether it will begin at what is computed, if all goes well; computing meets it earlier if it goes on."""
        return self.floor_token <= computed_tokens < self.end_token

    def taken_at(self, computed_tokens: int, block_tokens: int, last_token: int) -> tuple[int, int] | None:
        """Begin and end of the part that can be loaded behind what is computed, on block boundaries, or None.

        Args:
            computed_tokens: Computed tokens from the prompt's start; a block that is not full is loaded whole.
            block_tokens: Tokens of an engine block.
            last_token: The engine must compute from this position on, at the latest; engines sample from something.
        """
        begin = computed_tokens - computed_tokens % block_tokens
        end = min(self.end_token, last_token - last_token % block_tokens)
        return (begin, end) if self.start_token <= begin < end else None


def common_span(spans: Sequence[StagedSpan]) -> StagedSpan | None:
    """What all ranks hold; None without a rank. What one rank cannot get is not to be had."""
    if not spans:
        return None
    start, end = max(span.start_token for span in spans), min(span.end_token for span in spans)
    return StagedSpan(min(start, end), end, max(span.floor_token for span in spans))
