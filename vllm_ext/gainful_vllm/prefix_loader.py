"""Loads of a prefix straight into the engine's blocks, from the front: while the request waits, or layer by layer."""

import threading
import time
from typing import TYPE_CHECKING

import torch

from gainful.errors import GainfulError, IntegrityError, StoreError
from gainful.sparkv.frame import FIXED_BYTES, Header, header_bytes
from gainful.sparkv.stores import Lease, Miss
from gainful_vllm.blocks import CacheBlocks, by_chunk
from gainful_vllm.meta import PrefixLoad

if TYPE_CHECKING:
    from gainful_vllm.transfers import Transfers

__all__ = ["PrefixLoader"]


class PrefixLoader:
    """One load. After `close` nothing is written to the engine's blocks any more, whatever its thread still does."""

    def __init__(self, order: PrefixLoad, transfers: "Transfers", cache: CacheBlocks) -> None:
        self.order, self._transfers, self._cache = order, transfers, cache
        engine = transfers.engine
        self._keys = engine.spaces[engine.tp_rank].chunk_keys(order.block_hashes)[order.first_chunk : order.end_chunk]
        first = order.first_block - order.first_chunk * engine.options.chunk_blocks
        self._targets = list(by_chunk(first, order.block_ids, engine.options.chunk_blocks))
        self._changed = threading.Condition()
        self.deadline_s = time.monotonic() + order.max_seconds
        self.num_loaded = 0
        """Chunks, or layers of all chunks."""
        self.done = False
        self.closed = False
        self.failure = ""

    # the engine's thread

    def is_over(self) -> bool:
        """True once it is complete, has failed, or is too late, which closes it."""
        if not self.done and time.monotonic() >= self.deadline_s:
            self.close("deadline")
        return self.done

    def wait_for(self, layer: int) -> bool:
        """Wait until a layer is in the engine's blocks; false if it is not to come."""
        with self._changed:
            while self.num_loaded <= layer and not self.done:
                seconds = self.deadline_s - time.monotonic()
                if seconds <= 0.0:
                    break
                self._changed.wait(seconds)
        return self.num_loaded > layer

    def is_usable(self) -> bool:
        """Layer by layer: all of them are in the engine's blocks, and nothing went wrong."""
        return not self.failure and self.num_loaded >= self._transfers.engine.num_layers

    def close(self, failure: str) -> None:
        """End it as it is."""
        with self._changed:
            if not self.done:
                self.failure = failure or "failed"
            self.done = self.closed = True
            self._changed.notify_all()

    def missing_blocks(self) -> tuple[int, ...]:
        """Engine blocks that hold nothing usable."""
        if not self.failure:
            return ()
        if self.order.by_layer:
            return self.order.block_ids
        return tuple(block for _, _, ids in self._targets[self.num_loaded :] for block in ids)

    # the transfer thread

    def load(self) -> None:
        """Fetch in order; never raises."""
        try:
            self._load()
        except (GainfulError, OSError, RuntimeError) as error:
            self._give_up(f"{type(error).__name__}: {error}")
        except Exception as error:  # as in Racer.stream
            self._give_up(f"unexpected {type(error).__name__}: {error}")

    def _load(self) -> None:
        with self._transfers.store.acquire(self._keys, max_seconds=self._seconds_left(), from_start=True) as lease:
            if len(lease) < len(self._keys) and self.order.by_layer:
                raise StoreError("chunks that were there are gone")
            if self.order.by_layer:
                self._load_layers(lease)
            else:
                self._load_chunks(lease)
        if self.num_loaded < (self._transfers.engine.num_layers if self.order.by_layer else len(self._keys)):
            raise StoreError("chunks that were there are gone or damaged")
        with self._changed:
            self.done = True
            self._changed.notify_all()

    def _load_chunks(self, lease: Lease) -> None:
        transfers = self._transfers
        limit = transfers.read_ahead_bytes(max(lease.sizes, default=1))
        reads = transfers.store.stream(
            lease, ((key, None) for key in lease.keys), max_seconds=self._seconds_left(), in_flight_bytes=limit
        )
        transfers.meter.begin(time.monotonic())
        try:
            for target, expected, (key, frame) in zip(self._targets, lease.keys, reads, strict=False):
                _check_order(expected, key)
                decoded = None if isinstance(frame, Miss) else transfers.decode(key, frame)
                self._measured(0 if isinstance(frame, Miss) else len(frame))
                if decoded is None or not self._put(target, decoded):
                    break
        finally:
            transfers.meter.end(0, time.monotonic())

    def _load_layers(self, lease: Lease) -> None:
        transfers = self._transfers
        transfers.meter.begin(time.monotonic())
        try:
            headers = [self._header(lease, key) for key in lease.keys]
            requests = [
                (index, layer, header.byte_range(layer, layer + 1))
                for layer in range(transfers.engine.num_layers)
                for index, header in enumerate(headers)
            ]
            reads = transfers.store.stream(
                lease, ((lease.keys[index], part) for index, _, part in requests), max_seconds=self._seconds_left()
            )
            for (index, layer, _), (key, data) in zip(requests, reads, strict=False):
                _check_order(lease.keys[index], key)
                if isinstance(data, Miss):
                    raise StoreError(f"chunk {key} is gone")
                self._measured(len(data))
                if not self._put_layer(index, layer, headers[index], key, data):
                    return
        finally:
            transfers.meter.end(0, time.monotonic())

    def _header(self, lease: Lease, key: str) -> Header:
        try:
            fixed = self._read(lease, key, FIXED_BYTES)
            return self._transfers.coder.open(key, self._read(lease, key, header_bytes(fixed)))
        except IntegrityError as error:
            self._transfers.damaged(key, error)
            raise

    def _read(self, lease: Lease, key: str, num_bytes: int) -> memoryview:
        """The beginning of a frame."""
        end = min(num_bytes, lease.size_of(key))
        data = self._transfers.store.read(lease, key, (0, end), max_seconds=self._seconds_left())
        if isinstance(data, Miss):
            raise StoreError(f"chunk {key} is gone")
        return data

    def _put(self, target: tuple[int, int, tuple[int, ...]], blocks: torch.Tensor) -> bool:
        """One chunk into the engine's blocks, unless the load was closed meanwhile."""
        _, offset, ids = target
        with self._changed:
            if self.closed:
                return False
            self._cache.copy_in(ids, blocks[:, offset : offset + len(ids)])
            self.num_loaded += 1
        return True

    def _put_layer(self, index: int, layer: int, header: Header, key: str, data: memoryview) -> bool:
        engine, (_, offset, ids) = self._transfers.engine, self._targets[index]
        out = torch.empty((1, engine.options.chunk_blocks, engine.block_bytes), dtype=torch.uint8)
        try:
            self._transfers.coder.decode_layers(header, layer, data, out)
        except IntegrityError as error:
            self._transfers.damaged(key, error)
            raise
        with self._changed:
            if self.closed:
                return False
            self._cache.copy_in_layer(layer, ids, out[0, offset : offset + len(ids)])
            if index == len(self._targets) - 1:
                self.num_loaded += 1
                self._changed.notify_all()
        return True

    def _measured(self, num_bytes: int) -> None:
        """One read is over, and the next one is on its way."""
        now = time.monotonic()
        self._transfers.meter.begin(now)
        self._transfers.meter.end(num_bytes, now)

    def _give_up(self, failure: str) -> None:
        if not self.done:
            self._transfers.failed("load", failure)
        self.close(failure)

    def _seconds_left(self) -> float:
        return max(0.0, self.deadline_s - time.monotonic())


def _check_order(expected: str, key: str) -> None:
    """A frame proves its key, not that it was the one asked for."""
    if key != expected:
        raise StoreError(f"answers out of order: asked for {expected}, got {key}")
