"""Whatever is quantised comes back within half a step of its own group."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gainful.sparkv.blocks import BlockLayout
from gainful.sparkv.codec import make_codec

ROUNDING = {"bfloat16": 2.0**-8, "float16": 2.0**-11, "float32": 2.0**-23}
"""Largest relative error of one rounding to nearest."""


@st.composite
def cases(draw):
    packing = draw(st.sampled_from(["token_major", "vec", "amx"]))
    tile = 16 if packing == "amx" else 1
    layout = BlockLayout(
        num_kv_heads=draw(st.integers(1, 3)),
        block_size=tile * draw(st.integers(1, 3)) * 2,
        head_dim=tile * draw(st.integers(1, 3)) * 2,
        dtype=draw(st.sampled_from(["bfloat16", "float16", "float32"])),
        packing=packing,
    )
    scale = 2.0 ** draw(st.integers(-14, 10) if layout.dtype == "float16" else st.integers(-60, 60))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    dtype = getattr(torch, layout.dtype)
    values = torch.randn(draw(st.integers(1, 3)), layout.block_bytes // dtype.itemsize, generator=generator)
    offset = draw(st.sampled_from([0.0, 1.0, -20.0]))
    return layout, ((values + offset) * scale).to(dtype)


def as_float(bits):
    return torch.from_numpy((bits.astype(np.uint32) << 16).view(np.float32))


@settings(max_examples=60)
@given(case=cases(), name=st.sampled_from(["int8", "int4"]))
def test_error_is_at_most_half_a_step(case, name):
    layout, values = case
    codec = make_codec(name, layout)
    section = codec.encode(values.view(torch.uint8))
    out = torch.zeros_like(values.view(torch.uint8))
    codec.decode(section, out)
    x, found = values.double(), out.view(values.dtype).double()
    step = max(as_float(section["k_step"]).max().item(), as_float(section["v_step"]).max().item())
    size = x.abs().max().item() + step
    assert (found - x).abs().max() <= 0.5 * step + size * (ROUNDING[layout.dtype] + 6 * ROUNDING["float32"]) + 2e-7 * (
        layout.dtype == "float16"  # half an ulp of its subnormal numbers is 2**-25
    )


@settings(max_examples=60)
@given(case=cases(), name=st.sampled_from(["int8", "int4"]))
def test_steps_are_no_wider_than_the_groups_need(case, name):
    """step <= (range + one bfloat16 ulp of low) / levels, rounded up once: no bits are wasted."""
    layout, values = case
    section = make_codec(name, layout).encode(values.view(torch.uint8))
    levels = 255 if name == "int8" else 15
    width = values.double().max().item() - values.double().min().item()
    slack = values.double().abs().max().item() * 2.0**-7
    for part in ("k_step", "v_step"):
        assert as_float(section[part]).max().item() <= (width + slack) / levels * (1 + 2.0**-7) + 1e-37


@settings(max_examples=30)
@given(case=cases(), name=st.sampled_from(["int8", "int4"]))
def test_what_was_decoded_from_bfloat16_and_is_constant_stays(case, name):
    layout, values = case
    constant = torch.full_like(values, float(values.flatten()[0].to(torch.bfloat16)))
    codec = make_codec(name, layout)
    out = torch.zeros_like(constant.view(torch.uint8))
    codec.decode(codec.encode(constant.view(torch.uint8)), out)
    assert torch.equal(out.view(values.dtype), constant)
