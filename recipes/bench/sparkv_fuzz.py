"""Change frames at random: each must be refused with an IntegrityError or give exactly the bytes that were written.

python recipes/bench/sparkv_fuzz.py --frames 100000

Two kinds of harm. Damage: bits, bytes and runs changed, cut, doubled, moved, spliced from another frame. Forgery (one
in four): the table is changed and its digest and lengths are made to fit, as one could who may write to the store; then
what comes back must be refused, or be tensors that the table describes and the payload's digests cover.
"""

import argparse
import hashlib
import random
import struct
import sys
import time
from collections import Counter
from importlib.util import find_spec

import numpy as np

from gainful.errors import IntegrityError
from gainful.sparkv.frame import FIXED_BYTES, read_frame, write_frame
from gainful.sparkv.sealing import Sealer

SEALER = Sealer([b"k" * 32]) if find_spec("cryptography") else None
VARIANTS = [(None, None)]
VARIANTS += [(3, None)] if find_spec("zstandard") else []
VARIANTS += [(None, SEALER)] if SEALER else []


def sections(draw: random.Random) -> list[dict[str, np.ndarray]]:
    def tensor() -> np.ndarray:
        dtype = np.dtype(draw.choice(["uint8", "uint16", "float32"]))
        shape = tuple(draw.randrange(1, 9) for _ in range(draw.randrange(1, 4)))
        return np.frombuffer(draw.randbytes(int(np.prod(shape)) * dtype.itemsize), dtype).reshape(shape)

    names = ("kv", "k_low", "k_step")[: draw.randrange(1, 4)]
    return [{name: tensor() for name in names} for _ in range(draw.randrange(0, 5))]


def damaged(draw: random.Random, data: bytes, other: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 5))):
        at, length = draw.randrange(len(changed) + 1), draw.choice((1, 2, 4, 8, 64, 300))
        kind = draw.randrange(7)
        if kind == 0 and at < len(changed):
            changed[at] ^= 1 << draw.randrange(8)
        elif kind == 1:
            changed[at : at + length] = draw.randbytes(length)
        elif kind == 2:
            del changed[at : at + length]
        elif kind == 3:
            changed[at:at] = changed[at : at + length]
        elif kind == 4:
            changed[at : at + length] = other[at : at + length]
        elif kind == 5:
            changed[at : at + length] = draw.choice((b"\0", b"\xff")) * length
        else:
            del changed[at:]
    return bytes(changed)


def forged(draw: random.Random, data: bytes, other: bytes) -> bytes:
    table_bytes, payload_bytes = struct.unpack_from("<IQ", data, 12)
    table = data[FIXED_BYTES : FIXED_BYTES + table_bytes].rstrip()
    if draw.random() < 0.5:
        digits = [at for at, byte in enumerate(table) if 48 <= byte <= 57]
        at = draw.choice(digits)
        table = table[:at] + draw.choice((b"9", b"0", b"-1", b"99999999999", b"1.5", b"1e9")) + table[at + 1 :]
    else:
        table = damaged(draw, table, other[FIXED_BYTES:])
    table = table.ljust(-(-(FIXED_BYTES + len(table)) // 64) * 64 - FIXED_BYTES)
    payload = data[FIXED_BYTES + table_bytes :]
    declared = len(payload) if draw.random() < 0.5 else payload_bytes
    start = data[:12] + struct.pack("<IQ", len(table), declared) + data[24:32]
    digest = hashlib.blake2b(start + table, digest_size=32, person=b"sparkv-header-v1").digest()
    return start + digest + table + payload


def content(found: list[dict[str, np.ndarray]]) -> list[dict[str, tuple[str, tuple[int, ...], bytes]]]:
    return [{name: (a.dtype.name, a.shape, a.tobytes()) for name, a in layer.items()} for layer in found]


def covered(data: bytes, header: object, found: list[dict[str, np.ndarray]]) -> bool:
    """Whether a forged frame that was read holds what its own table and digests say; never more bytes than it has."""
    return len(data) == header.frame_bytes and all(  # type: ignore[attr-defined]
        sum(array.nbytes for array in layer.values()) == section.plain_bytes
        for layer, section in zip(found, header.table.sections, strict=True)  # type: ignore[attr-defined]
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    draw, counts, begin = random.Random(options.seed), Counter(), time.monotonic()  # noqa: S311
    corpus = []
    for number in range(300):
        zstd_level, sealer = VARIANTS[number % len(VARIANTS)]
        arrays = sections(draw)
        kind = {"codec": "raw", "codec_version": 1, "lossy": False, "zstd_level": zstd_level, "sealer": sealer}
        key = f"{number:064x}"  # its own for each, so that a frame that turned into another one whole is wrong too
        corpus.append((b"".join(write_frame(arrays, key=key, **kind)), key, content(arrays), sealer))
    for number in range(options.frames):
        data, key, expected, sealer = draw.choice(corpus)
        forgery = number % 4 == 3
        changed = (forged if forgery else damaged)(draw, data, draw.choice(corpus)[0])
        try:
            header, found = read_frame(changed, key=key, sealer=sealer)
        except IntegrityError:
            counts["refused"] += 1
        except Exception as error:
            counts[f"WRONG: {type(error).__name__}"] += 1
            print(f"frame {number}: {error!r}", flush=True)
        else:
            exact = content(found) == expected
            consistent = forgery and sealer is None and covered(changed, header, found)
            counts["the exact bytes" if exact else "a consistent forgery" if consistent else "WRONG: bytes"] += 1
        if (number + 1) % max(1, options.frames // 10) == 0:
            print(f"{number + 1} frames, {time.monotonic() - begin:.0f} s, {dict(counts)}", flush=True)
    wrong = sum(count for outcome, count in counts.items() if outcome.startswith("WRONG"))
    print(
        f"{options.frames} changed frames, {len(VARIANTS)} variants, seed {options.seed}: {dict(counts)}; {wrong} wrong"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
