"""Which chunks have come from the back, and what is contiguous among them."""

from gainful.errors import InputError

__all__ = ["StagedSuffix"]

_UNTOUCHED, _IN_FLIGHT, _STAGED, _FINISHED = range(4)
"""Of a chunk: never asked for; asked for; here; reported otherwise, or gone."""


class StagedSuffix:
    """Chunks asked for from the last to the first, and the contiguous run of those that are here.

    Chunks in [`floor`, `end`) can be part of that run; what lies outside was cut off by a hole and is the engine's.
    Each chunk is asked for at most once. Every call is O(1), but for those that make a hole.
    """

    __slots__ = ("_next", "_place", "end", "floor", "in_flight", "start")

    def __init__(self, num_chunks: int) -> None:
        self._place = bytearray(num_chunks)
        self._next = self.start = self.end = num_chunks  # staged and contiguous: [start, end)
        self.floor = 0
        self.in_flight = 0

    def has_more(self, lowest: int) -> bool:
        """True if a chunk from `lowest` on is still to be asked for."""
        return self._next > max(lowest, self.floor)

    def offer(self, lowest: int) -> int | None:
        """The next chunk to ask for, not before `lowest`."""
        chunk = self._next - 1
        if chunk < lowest or chunk < self.floor:
            return None
        self._next = chunk
        self._place[chunk] = _IN_FLIGHT
        self.in_flight += 1
        return chunk

    def take_back(self, chunk: int, event: str) -> bool:
        """A chunk in flight is reported; true if it can still be part of the run.

        Raises:
            InputError: It is not in flight.
        """
        if not 0 <= chunk < len(self._place) or self._place[chunk] != _IN_FLIGHT:
            raise InputError(f"{event}: expected a chunk in flight, got {chunk}, {self._story(chunk)}")
        self._place[chunk] = _FINISHED
        self.in_flight -= 1
        return self.floor <= chunk < self.end

    def stage(self, chunk: int) -> None:
        """A chunk that was taken back is here."""
        self._place[chunk] = _STAGED
        self._advance()

    def lose(self, chunk: int, lowest: int) -> bool:
        """A chunk is no longer to be had, wherever it is; true if that matters.

        Raises:
            InputError: There is no such chunk.
        """
        if not 0 <= chunk < len(self._place):
            raise InputError(f"on_evicted: expected a chunk from 0 to {len(self._place) - 1}, got {chunk}")
        if self._place[chunk] != _IN_FLIGHT:  # which will still be reported
            self._place[chunk] = _FINISHED
        matters = self.floor <= chunk < self.end
        if matters:
            self.exclude(chunk, lowest)
        return matters

    def exclude(self, hole: int, lowest: int) -> None:
        """Keep one side of a hole: what is above it, since late tokens cost most to compute.

        With nothing above, or with more staged below, the run ends at the hole instead, and the engine computes what
        follows the run after it was loaded (ours).
        """
        above = self.end - 1 - hole
        if above == 0 or self._place.count(_STAGED, lowest, max(hole, lowest)) > above:
            self.end = hole
            self._next = min(self._next, hole)
        else:
            self.floor = hole + 1
        self.start = self.end
        self._advance()

    def stop(self) -> None:
        """Nothing more is asked for or waited for; the run stays as it is."""
        self.floor = self.start

    def unneeded(self, lowest: int) -> list[int]:
        """Chunks in flight that cannot lengthen the run, or that lie before `lowest`."""
        low = max(lowest, self.floor)
        return [c for c, place in enumerate(self._place) if place == _IN_FLIGHT and not low <= c < self.end]

    def _advance(self) -> None:
        # never below the floor: the chunk before it is a hole, or was given up while it was not here
        while self.start > 0 and self._place[self.start - 1] == _STAGED:
            self.start -= 1

    def _story(self, chunk: int) -> str:
        if not 0 <= chunk < len(self._place):
            return f"which is none of the {len(self._place)}"
        if self._place[chunk] == _UNTOUCHED:
            return "which next_fetch() never gave out"
        return "which was reported before"
