"""How large a store must be, and how fast its link: from the shape of a model's KV cache, and frames made on the spot.

    .venvs/vllm/bin/python recipes/sparkv_two_machines/sizing.py --layers 32 --kv-heads 8 --head-dim 128 --prompts 1000

    bytes of a token = 2 (keys, values) * layers * heads of keys and values * head size * bytes of a value

The heads of all tensor-parallel ranks together: each rank stores its own, under keys of its own.
"""

import argparse
import json
from pathlib import Path
from typing import get_args

import torch
from rich.console import Console
from rich.table import Table

from gainful.sparkv.blocks import DTYPE_BYTES, BlockLayout, KvDtype
from gainful.sparkv.codec import make_codec
from gainful.sparkv.coder import ChunkCoder

CODECS = ("raw", "int8", "int4")
KEY = "5a" * 32


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, help="a model's config.json, instead of the next three")
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--kv-heads", type=int, default=8, help="heads of keys and values, of all ranks")
    parser.add_argument("--head-dim", type=int, default=128)
    parser.add_argument("--dtype", choices=get_args(KvDtype), default="bfloat16", help="of the cache")
    parser.add_argument("--block-size", type=int, default=128, help="tokens in a block of the engine")
    parser.add_argument("--tokens", type=int, default=4096, help="of a prompt")
    parser.add_argument("--prompts", type=int, default=1000, help="different ones that are to stay")
    parser.add_argument("--prefill", type=float, default=2000.0, help="tokens that the engine computes in a second")
    return parser.parse_args()


def shape(options: argparse.Namespace) -> tuple[int, int, int]:
    """Layers, heads of keys and values, size of a head."""
    if options.config is None:
        return options.layers, options.kv_heads, options.head_dim
    config = json.loads(options.config.read_text())
    heads = config["num_attention_heads"]
    head_dim = config.get("head_dim") or config["hidden_size"] // heads
    return config["num_hidden_layers"], config.get("num_key_value_heads") or heads, head_dim


def token_bytes(layers: int, kv_heads: int, head_dim: int, dtype: str) -> int:
    """Of the cache, before any codec."""
    return 2 * layers * kv_heads * head_dim * DTYPE_BYTES[dtype]


def frame_bytes(layers: int, kv_heads: int, head_dim: int, dtype: str, block_size: int, codec: str) -> int:
    """Of one block's frame, as it is stored: header, scales and digests included."""
    layout = BlockLayout(num_kv_heads=kv_heads, block_size=block_size, head_dim=head_dim, dtype=dtype)
    blocks = torch.zeros(layers, 1, layout.block_bytes, dtype=torch.uint8)
    parts = ChunkCoder(make_codec(codec, layout), num_layers=layers).encode(KEY, blocks)
    return sum(len(memoryview(part).cast("B")) for part in parts)


def main() -> None:
    options = parse()
    layers, kv_heads, head_dim = shape(options)
    cache = token_bytes(layers, kv_heads, head_dim, options.dtype)
    engine = f"{layers} layers, {kv_heads} heads of {head_dim}, {options.dtype}: {cache:,} bytes a token in the engine"
    use = f"{options.prompts:,} prompts of {options.tokens:,} tokens, computed at {options.prefill:,.0f} a second"
    columns = ("codec", "bytes a token", "MB a prompt", "GB in all", "Mbit/s where both routes take as long")
    table = Table(*columns, title=engine, caption=use, title_justify="left", caption_justify="left")
    for codec in CODECS:
        frame = frame_bytes(layers, kv_heads, head_dim, options.dtype, options.block_size, codec)
        prompt = frame * (options.tokens // options.block_size)
        rate = frame / options.block_size * options.prefill * 8 / 1e6
        table.add_row(
            codec,
            f"{frame / options.block_size:,.0f}",
            f"{prompt / 1e6:,.1f}",
            f"{prompt * options.prompts / 1e9:,.1f}",
            f"{rate:,.0f}",
        )
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
