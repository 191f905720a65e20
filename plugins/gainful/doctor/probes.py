"""Live probes: one small thing per system that is done for real, and compared with what must come out."""

import os
import time
from collections.abc import Callable, Iterator
from hashlib import blake2b
from importlib.util import find_spec
from typing import TYPE_CHECKING

from gainful.doctor.findings import Finding
from gainful.doctor.installation import REINSTALL
from gainful.errors import GainfulError, StoreError

if TYPE_CHECKING:
    from gainful.sparkv.stores.base import Store

__all__ = ["probe_store", "probe_systems"]

_STORE_SECONDS = 10.0
_ENTRY_BYTES = 1 << 16


def probe_systems() -> Iterator[Finding]:
    """Each system of the core once; an error of any kind is a finding, since finding it is what this is for."""
    for subject, probe in _PROBES.items():
        try:
            yield probe(subject)
        except Exception as error:
            detail = f"the probe failed: {type(error).__name__}: {error}"
            yield Finding(subject, "problem", detail, REINSTALL)


def probe_store(url: str) -> Finding:
    """Write one entry into the store behind a URL, read it back and remove it."""
    from gainful.sparkv.stores.url import open_store, redacted

    subject = "store"
    try:
        subject = redacted(url)
        with open_store(url) as store:
            return Finding(subject, "ok", _round_trip(store))
    except (GainfulError, OSError) as error:
        what, _, remedy = str(error).rpartition("; pip install ")
        mend = f"pip install {remedy}" if what else "gainful doctor --store URL, once the server or the URL is mended"
        return Finding(subject, "problem", what or str(error), mend)
    except Exception as error:  # a third party's store may raise anything
        return Finding(subject, "problem", f"its store raised {type(error).__name__}: {error}", "gainful plugins")


def _advantages(subject: str) -> Finding:
    if find_spec("torch") is None:
        return Finding(
            subject, "note", "not probed: needs torch, which comes with the host", "pip install 'gainful[verl]'"
        )
    import torch

    from gainful.advantage import agpo

    rewards = torch.tensor([1.0, 0.0, 0.0, 0.0])
    out = agpo(rewards, torch.ones(4, 2), torch.tensor([7, 7, 9, 9]))
    found = [round(value, 3) for value in out.advantages[:, 0].tolist()]
    # half right: spread 1, so (+-1) / sqrt(1 + 1), and 1 off where wrong; all wrong: 1 off
    return _compared(subject, "agpo of two groups", found, [0.707, -1.707, -1.0, -1.0])


def _gains(subject: str) -> Finding:
    from gainful.infogain import Missing, Reading, exact_belief, turn_gains, uncertainty

    unknown = Missing("probe_failed")
    beliefs = ([0.25, 0.25, 0.25, 0.25], [0.5, 0.5, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0])
    readings = [Reading(exact_belief(p), unknown, unknown) for p in beliefs]
    gains = turn_gains([uncertainty("shannon", reading, miller_madow=False) for reading in readings])
    # four, two, one answer left: ln 2 a turn
    return _compared(subject, "gains of two turns", [round(float(gain), 3) for gain in gains.values], [0.693, 0.693])


def _budget(subject: str) -> Finding:
    from gainful.budget.controller import Controller
    from gainful.budget.hostile import Hostility, broken_limits, drive, seeded
    from gainful.budget.types import Budget

    limits = Budget(tool_calls=2, output_tokens=300)
    ran = drive(Controller(), "Who directed Solaris?", limits, seeded(0), Hostility(), _ignore)
    broken = broken_limits(ran)
    if broken or not ran.report.answer:
        return Finding(subject, "problem", f"limits were not kept: {', '.join(broken) or 'no answer'}", REINSTALL)
    return Finding(subject, "ok", "a host that misbehaves was held to 2 calls and 300 tokens, with an answer")


def _frames(subject: str) -> Finding:
    import numpy as np

    from gainful.sparkv.frame import read_frame, write_frame
    from gainful.sparkv.stores.memory import MemoryStore

    key = "5a" * 32
    layers = [{"kv": np.arange(layer, layer + 64, dtype=np.uint8)} for layer in range(2)]
    with MemoryStore() as store:
        store.put(key, write_frame(layers, key=key, codec="raw", codec_version=1, lossy=False), max_seconds=1.0)
        with store.acquire([key], max_seconds=1.0) as lease:
            _, found = read_frame(store.read(lease, key, max_seconds=1.0), key=key)  # type: ignore[arg-type]
    same = all(np.array_equal(a["kv"], b["kv"]) for a, b in zip(found, layers, strict=True))
    return _compared(subject, "a frame of two layers through a store", same, True)


_PROBES: dict[str, Callable[[str], Finding]] = {
    "advantages": _advantages,
    "information gain": _gains,
    "budget": _budget,
    "sparkv": _frames,
}


def _compared(subject: str, what: str, found: object, expected: object) -> Finding:
    if found == expected:
        return Finding(subject, "ok", f"{what}: {'unchanged' if found is True else found}, as it must be")
    return Finding(subject, "problem", f"{what}: expected {expected}, found {found}", REINSTALL)


def _ignore(_state: object) -> None:
    """The probe keeps no states."""


def _round_trip(store: "Store") -> str:
    """What was done with one random entry, and how long it took."""
    from gainful.sparkv.stores.lease import Miss

    content = os.urandom(_ENTRY_BYTES)
    key = blake2b(content, digest_size=32).hexdigest()
    begin = time.perf_counter()
    if store.read_only:
        store.acquire([key], max_seconds=_STORE_SECONDS).release()
        return f"read-only; it answered in {_milliseconds_since(begin)}"
    store.put(key, [content], max_seconds=_STORE_SECONDS)
    try:
        with store.acquire([key], max_seconds=_STORE_SECONDS) as lease:
            read = store.read(lease, key, max_seconds=_STORE_SECONDS) if len(lease) else b""
            if isinstance(read, Miss) or bytes(read) != content:
                raise StoreError("what was read is not what was written")
    finally:
        store.discard(key, max_seconds=_STORE_SECONDS)
    return f"{_ENTRY_BYTES:,} bytes written, read back and removed in {_milliseconds_since(begin)}"


def _milliseconds_since(begin: float) -> str:
    return f"{(time.perf_counter() - begin) * 1000:.1f} ms"
