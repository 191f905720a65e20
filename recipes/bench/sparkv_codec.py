"""Sizes and speeds of codecs, frames and local stores, against memcpy and other formats where they are installed.

OMP_NUM_THREADS=1 python recipes/bench/sparkv_codec.py

GB/s are of bfloat16 KV before encoding (10**9 bytes a second), the best of `--repeats`. The KV is synthetic: normal,
keys with an offset per channel; real keys and values compress and quantise differently. memcpy stays within the cache.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec

import numpy as np
import torch

from gainful.sparkv.blocks import BlockLayout
from gainful.sparkv.codec import make_codec
from gainful.sparkv.frame import read_frame, write_frame
from gainful.sparkv.sealing import Sealer
from gainful.sparkv.stores import open_store

KEY = "0f" * 32
SECONDS = 60.0


def synthetic(layout: BlockLayout, num_blocks: int, num_layers: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)

    def layer() -> torch.Tensor:
        shape = (num_blocks, layout.num_kv_heads, layout.block_size, layout.head_dim)
        keys, values = torch.randn(shape, generator=generator), torch.randn(shape, generator=generator)
        keys += 4 * torch.randn(1, layout.num_kv_heads, 1, layout.head_dim, generator=generator)
        if layout.packing == "token_major":
            blocks = torch.cat([keys, values], dim=-1)
        else:  # amx: [16 tokens, channel pairs] and [16 channels, token pairs] tiles
            n, h, t, d = shape
            k = keys.view(n, h, t // 16, 16, d // 2, 2).transpose(3, 4).reshape(n, h, -1)
            v = values.view(n, h, t // 2, 2, d // 16, 16).permute(0, 1, 4, 2, 5, 3).reshape(n, h, -1)
            blocks = torch.cat([k, v], dim=-1)
        return blocks.to(torch.bfloat16).view(num_blocks, -1).contiguous().view(torch.uint8)

    return [layer() for _ in range(num_layers)]


def fastest(work: Callable[[], object], repeats: int) -> float:
    """Seconds."""
    best = float("inf")
    for _ in range(repeats):
        begin = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - begin)
    return best


def row(name: str, num_bytes: int, stored: int, encode: float, decode: float) -> None:
    print(
        f"| {name} | {num_bytes / stored:.2f} | {num_bytes / encode / 1e9:.2f} | {num_bytes / decode / 1e9:.2f} |",
        flush=True,
    )


def codecs(layers: list[torch.Tensor], layout: BlockLayout, repeats: int) -> None:
    """The tensors alone: no digest, no frame."""
    num_bytes = sum(layer.numel() for layer in layers)
    out = torch.empty_like(layers[0])
    copy = fastest(lambda: [out.copy_(layer) for layer in layers], repeats)
    row(f"memcpy ({layout.packing})", num_bytes, num_bytes, copy, copy)
    for name in ("raw", "int8", "int4"):
        codec = make_codec(name, layout)
        coded = [codec.encode(layer) for layer in layers]
        stored = sum(array.nbytes for section in coded for array in section.values())
        encode = fastest(lambda codec=codec: [codec.encode(layer) for layer in layers], repeats)
        decode = fastest(lambda codec=codec, coded=coded: [codec.decode(section, out) for section in coded], repeats)
        row(f"{name} ({layout.packing})", num_bytes, stored, encode, decode)


def frames(layers: list[torch.Tensor], layout: BlockLayout, repeats: int) -> None:
    """Codec, digest, and compression or sealing; writing gives parts, reading ends in the blocks."""
    num_bytes = sum(layer.numel() for layer in layers)
    out = torch.empty_like(layers[0])
    variants: list[tuple[str, int | None, Sealer | None]] = [(name, None, None) for name in ("raw", "int8", "int4")]
    if find_spec("zstandard"):
        variants += [("raw", 1, None), ("int8", 1, None), ("int4", 1, None), ("int4", 3, None), ("int4", 9, None)]
    if find_spec("cryptography"):
        variants += [("raw", None, Sealer([b"k" * 32])), ("int8", None, Sealer([b"k" * 32]))]
    for name, zstd_level, sealer in variants:
        codec = make_codec(name, layout)

        def write(codec=codec, zstd_level=zstd_level, sealer=sealer):  # type: ignore[no-untyped-def]
            coded = [codec.encode(layer) for layer in layers]
            kind = {"codec": codec.name, "codec_version": codec.version, "lossy": codec.lossy}
            return write_frame(coded, key=KEY, zstd_level=zstd_level, sealer=sealer, **kind)

        data = b"".join(write())

        def read(codec=codec, data=data, sealer=sealer):  # type: ignore[no-untyped-def]
            for section in read_frame(data, key=KEY, sealer=sealer)[1]:
                codec.decode(section, out)

        label = f"{name}{f' + zstd-{zstd_level}' if zstd_level else ''}{' + AES-GCM' if sealer else ''}"
        row(f"frame {label}", num_bytes, len(data), fastest(write, repeats), fastest(read, repeats))


def peers(layers: list[torch.Tensor], repeats: int) -> None:
    """Other formats for the same bytes. safetensors has no digest."""
    num_bytes = sum(layer.numel() for layer in layers)
    if find_spec("safetensors"):
        st = import_module("safetensors.numpy")
        tensors = {f"layer{index}": layer.numpy() for index, layer in enumerate(layers)}
        data = st.save(tensors)
        row(
            "safetensors",
            num_bytes,
            len(data),
            fastest(lambda: st.save(tensors), repeats),
            fastest(lambda: st.load(data), repeats),
        )
    if find_spec("blosc2"):
        blosc2 = import_module("blosc2")
        arrays = [layer.numpy().view(np.uint16).reshape(-1) for layer in layers]
        for level in (1, 5):

            def pack(level=level):  # type: ignore[no-untyped-def]
                kind = {"codec": blosc2.Codec.ZSTD, "filters": [blosc2.Filter.SHUFFLE], "typesize": 2, "nthreads": 1}
                return [blosc2.compress2(array, clevel=level, **kind) for array in arrays]

            packed = pack()
            read = fastest(lambda packed=packed: [blosc2.decompress2(item, nthreads=1) for item in packed], repeats)
            row(
                f"blosc2 shuffle zstd-{level}, lossless", num_bytes, sum(map(len, packed)), fastest(pack, repeats), read
            )


def stores(layers: list[torch.Tensor], repeats: int) -> None:
    """Put, and acquire with read, of raw chunks; the disk's cache is warm when they are read."""
    data = [layer.numpy() for layer in layers]
    num_bytes = sum(array.nbytes for array in data)
    keys = [f"{number:064x}" for number in range(repeats)]
    with tempfile.TemporaryDirectory() as folder:
        for url, options in (
            ("memory://", None),
            (f"file://{folder}/a", None),
            (f"file://{folder}/b", {"durable": False}),
        ):
            with open_store(url, options) as store:
                left = iter(keys)
                put = fastest(
                    lambda s=store, left=left: s.put(next(left), [a.data for a in data], max_seconds=SECONDS), repeats
                )

                def get(store=store):  # type: ignore[no-untyped-def]
                    with store.acquire(keys[:1], max_seconds=SECONDS) as lease:
                        return store.read(lease, keys[0], max_seconds=SECONDS)

                name = url.partition(":")[0] + (", not durable" if options else "")
                row(f"store {name}", num_bytes, num_bytes, put, fastest(get, repeats))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--blocks", type=int, default=1, help="blocks of 128 tokens in a chunk")
    parser.add_argument("--layers", type=int, default=20)
    options = parser.parse_args()
    shape = {"num_kv_heads": 4, "block_size": 128, "head_dim": 64, "dtype": "bfloat16"}
    print(f"torch {torch.__version__}, {torch.get_num_threads()} thread(s); chunk: {options.blocks} x 128 tokens, "
          f"{options.layers} layers, 4 heads of 64, bfloat16\n")  # fmt: skip
    print("| what | times smaller | write GB/s | read GB/s |\n| --- | ---: | ---: | ---: |")
    for packing in ("token_major", "amx"):
        layout = BlockLayout(**shape, packing=packing)
        layers = synthetic(layout, options.blocks, options.layers)
        codecs(layers, layout, options.repeats)
    frames(layers, layout, options.repeats)
    peers(layers, options.repeats)
    stores(layers, options.repeats)


if __name__ == "__main__":
    main()
