"""What the link to the store gives: bandwidth and round trip, observed."""

import math
from collections import deque
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt

from gainful.config import Options
from gainful.errors import InputError
from gainful.sparkv.unknown import Unknown

__all__ = ["LinkEstimate", "LinkEstimator", "LinkOptions", "window_chunks"]


class LinkOptions(Options):
    """Constants of `LinkEstimator`, all ours."""

    half_life_s: PositiveFloat = 2.0
    """Seconds of transfer after which an observation weighs half."""
    low_quantile: Annotated[float, Field(ge=0.0, le=1.0)] = 0.1
    """Share of the observed rates that lie below the low estimate."""
    high_quantile: Annotated[float, Field(ge=0.0, le=1.0)] = 0.9
    """Share of the observed rates that lie below the high estimate."""
    num_kept: PositiveInt = 64
    """Latest observations that the quantiles and the round trip are taken from."""
    min_samples: PositiveInt = 2
    """Transfers before anything is said."""


@dataclass(frozen=True, slots=True)
class LinkEstimate:
    """A link as a plan sees it."""

    bytes_per_second: float
    """Expected; 0 for a dead link."""
    low_bytes_per_second: float
    """What it falls below rarely; never above the expected rate."""
    high_bytes_per_second: float
    """What it exceeded rarely of late; never below the expected rate."""
    round_trip_s: float
    """Request to first byte, seconds."""
    num_samples: int

    def __post_init__(self) -> None:
        low, rate, high = self.low_bytes_per_second, self.bytes_per_second, self.high_bytes_per_second
        if not (0.0 <= low <= rate <= high < math.inf and 0.0 <= self.round_trip_s < math.inf):
            raise InputError(f"LinkEstimate: expected 0 <= low <= bandwidth <= high and a round trip >= 0, got {self}")


class LinkEstimator:
    """Exponentially weighted bandwidth, its low and high quantiles, and the median round trip.

    The average is bytes over seconds, both discounted by transfer time, so that a thousand short fast transfers do not
    outweigh one long slow one. A transfer that was given up is a sample too, with what had arrived by then: otherwise
    an outage would never show. Where several transfers share the link, report their bytes together over the time in
    which any of them ran.
    """

    def __init__(self, options: LinkOptions | None = None) -> None:
        self.options = options or LinkOptions()
        self._bytes = 0.0
        self._seconds = 0.0
        self._num_samples = 0
        self._rates: deque[float] = deque(maxlen=self.options.num_kept)
        self._round_trips: deque[float] = deque(maxlen=self.options.num_kept)

    def observe_transfer(self, num_bytes: int, seconds: float) -> None:
        """Bytes that came in `seconds`, first byte to last.

        Raises:
            InputError: A negative count, or a time that is not positive and finite.
        """
        if num_bytes < 0 or not 0.0 < seconds < math.inf:
            raise InputError(
                f"observe_transfer: expected bytes >= 0 in seconds > 0, got {num_bytes} in {seconds}; "
                "time transfers with a monotonic clock, and several short ones as one"
            )
        kept = 0.5 ** (seconds / self.options.half_life_s)
        self._bytes = kept * self._bytes + num_bytes
        self._seconds = kept * self._seconds + seconds
        self._num_samples += 1
        self._rates.append(num_bytes / seconds)

    def observe_round_trip(self, seconds: float) -> None:
        """From a request to its first byte, on an idle link.

        Raises:
            InputError: Negative or not finite.
        """
        if not 0.0 <= seconds < math.inf:
            raise InputError(f"observe_round_trip: expected seconds >= 0, got {seconds}")
        self._round_trips.append(seconds)

    def estimate(self) -> LinkEstimate | Unknown:
        """What is known now."""
        if self._num_samples < self.options.min_samples:
            detail = f"{self._num_samples} of {self.options.min_samples} timed transfers"
            return Unknown("no_bandwidth_samples", detail)
        if not self._round_trips:
            return Unknown("no_round_trip_samples", "no timed request")
        rate = self._bytes / self._seconds
        low, high = np.quantile(self._rates, (self.options.low_quantile, self.options.high_quantile)).tolist()
        round_trip = float(np.median(self._round_trips))
        return LinkEstimate(rate, min(low, rate), max(high, rate), round_trip, self._num_samples)


_HEADROOM = 2.0
"""Times bandwidth x R, so that a link that is faster than expected for a while does not run dry. Ours."""


def window_chunks(link: LinkEstimate | Unknown, chunk_bytes: int) -> int:
    """Chunks to keep in flight, so that the round trip is paid once: one arriving, and bandwidth x R behind it twice.

    Two where the link is unknown; what is in flight when the routes meet is sent in vain.
    """
    if isinstance(link, Unknown) or chunk_bytes <= 0:
        return 2
    return 1 + max(1, math.ceil(_HEADROOM * link.bytes_per_second * link.round_trip_s / chunk_bytes))
