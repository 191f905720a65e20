from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from gainful.errors import ConfigError, InputError, IntegrityError, ShapeError
from gainful.sparkv.blocks import BlockLayout
from gainful.sparkv.codec import CODECS, make_codec, tensor_of

HEADS, TOKENS, DIM = 2, 32, 32
PACKINGS = ("token_major", "vec", "vec16", "amx")


def layout(packing="token_major", dtype="bfloat16", **sizes):
    return BlockLayout(
        **{"num_kv_heads": HEADS, "block_size": TOKENS, "head_dim": DIM, "dtype": dtype, "packing": packing, **sizes}
    )


def pack(keys, values, packing):
    """Blocks [N, bytes] out of keys and values [N, H, tokens, channels], by the packings' definition."""
    n, h, t, d = keys.shape
    if packing == "token_major":
        blocks = torch.cat([keys, values], dim=-1)
    elif packing == "amx":
        k = keys.view(n, h, t // 16, 16, d // 2, 2).permute(0, 1, 2, 4, 3, 5)
        v = values.view(n, h, t // 2, 2, d // 16, 16).permute(0, 1, 4, 2, 5, 3)
        blocks = torch.cat([k.reshape(n, h, -1), v.reshape(n, h, -1)], dim=-1)
    else:
        blocks = torch.cat([keys.transpose(2, 3).reshape(n, h, -1), values.reshape(n, h, -1)], dim=-1)
    return blocks.reshape(n, -1).contiguous().view(torch.uint8)


def random_kv(num_blocks=3, dtype=torch.bfloat16, seed=0):
    generator = torch.Generator().manual_seed(seed)
    draw = [torch.randn(num_blocks, HEADS, TOKENS, DIM, generator=generator) for _ in range(2)]
    offsets = 10 * torch.randn(1, HEADS, 1, DIM, generator=generator)  # keys have channels far from zero
    return (draw[0] + offsets).to(dtype), draw[1].to(dtype)


def round_trip(codec, blocks):
    out = torch.zeros_like(blocks)
    codec.decode(codec.encode(blocks), out)
    return out


def test_the_amx_packing_is_undone_as_seen_in_the_kernels():
    keys, values = random_kv(1)
    block = pack(keys, values, "amx").view(torch.bfloat16).view(HEADS, 2 * TOKENS, DIM)
    k_area, v_area = block[:, :TOKENS], block[:, TOKENS:]
    found_k = k_area.reshape(HEADS, TOKENS // 16, DIM // 2, 16, 2).permute(0, 1, 3, 2, 4).reshape(HEADS, TOKENS, DIM)
    found_v = v_area.reshape(HEADS, DIM // 16, TOKENS // 2, 16, 2).permute(0, 2, 4, 1, 3).reshape(HEADS, TOKENS, DIM)
    assert torch.equal(found_k, keys[0])
    assert torch.equal(found_v, values[0])


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "fp8_e4m3"])
def test_raw_keeps_every_bit(packing, dtype):
    codec = make_codec("raw", layout(packing, dtype))
    blocks = torch.randint(0, 256, (5, codec.layout.block_bytes), dtype=torch.uint8)  # nan and inf among them
    assert torch.equal(round_trip(codec, blocks), blocks)
    assert np.shares_memory(codec.encode(blocks)["kv"], blocks.numpy())


@pytest.mark.parametrize("name", ["int8", "int4"])
@pytest.mark.parametrize("packing", PACKINGS)
def test_scales_follow_channels_of_keys_and_tokens_of_values_in_every_packing(packing, name):
    """The kernel's order changes nothing: each packing decodes to the same numbers."""
    keys, values = random_kv()
    found = round_trip(make_codec(name, layout(packing)), pack(keys, values, packing))
    expected = round_trip(make_codec(name, layout("token_major")), pack(keys, values, "token_major"))
    expected = expected.view(torch.bfloat16).view(3, HEADS, TOKENS, 2 * DIM)
    assert torch.equal(found, pack(expected[..., :DIM], expected[..., DIM:], packing))


def test_int8_matches_values_worked_out_by_hand():
    one = layout(num_kv_heads=1, block_size=2, head_dim=2, dtype="float32")
    # keys: channel 0 holds 0 and 255 (step 1), channel 1 holds 7 and 7 (step 0)
    # values: token 0 holds -1 and 1 (step 2/255, rounded up), token 1 holds 0 and 0 (step 0)
    block = torch.tensor([[0.0, 7.0, -1.0, 1.0], [255.0, 7.0, 0.0, 0.0]])
    codec = make_codec("int8", one)
    section = codec.encode(block.reshape(1, -1).view(torch.uint8))
    assert section["k"].reshape(-1).tolist() == [0, 0, 255, 0]
    assert section["k_low"].reshape(-1).tolist() == [0x0000, 0x40E0]  # bfloat16 of 0 and of 7
    assert section["k_step"].reshape(-1).tolist() == [0x3F80, 0x0000]  # of 1 and of 0
    # 2/255 = 0.0078431; the next bfloat16 not below is 0x3C01 = 129/128 * 2**-7 = 0.00787354; 2/0.00787354 = 254.02
    assert section["v"].reshape(-1).tolist() == [0, 254, 0, 0]
    assert section["v_step"].reshape(-1).tolist() == [0x3C01, 0x0000]
    out = torch.zeros(1, one.block_bytes, dtype=torch.uint8)
    codec.decode(section, out)
    assert out.view(torch.float32).tolist()[0] == [0.0, 7.0, -1.0, pytest.approx(0.99987793), 255.0, 7.0, 0.0, 0.0]


def test_a_channel_far_from_zero_does_not_spoil_the_others():
    keys, values = random_kv()
    keys[..., 0] += 1000
    found = round_trip(make_codec("int8", layout("amx")), pack(keys, values, "amx"))
    error = (found.view(torch.bfloat16).float() - pack(keys, values, "amx").view(torch.bfloat16).float()).abs()
    # two widths of about 6 in 255 steps and one ulp of bfloat16 at 1000, which is 4 (8 significant bits at 2**9)
    assert error.max() <= 4.0
    assert error.median() < 0.03


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("packing", PACKINGS)
def test_decoding_writes_its_own_rows_only(packing, dtype):
    name = str(dtype).removeprefix("torch.")
    keys, values = random_kv(2, dtype)
    blocks = pack(keys, values, packing)
    codec = make_codec("int8", layout(packing, name))
    staging = torch.full((6, codec.layout.block_bytes), 77, dtype=torch.uint8)
    codec.decode(codec.encode(blocks), staging[2:4])
    assert torch.equal(staging[2:4], round_trip(codec, blocks))
    assert (staging[[0, 1, 4, 5]] == 77).all()


def test_encoding_changes_nothing_it_was_given():
    keys, values = random_kv(dtype=torch.float32)
    blocks = pack(keys, values, "vec")
    before = blocks.clone()
    make_codec("int4", layout("vec", "float32")).encode(blocks)
    assert torch.equal(blocks, before)


@pytest.mark.parametrize("name", ["int8", "int4"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 2.0**127])
def test_values_that_cannot_be_quantised_are_refused_and_raw_keeps_them(name, value):
    for half in (0, 1):
        kv = random_kv()
        kv[half][1, 1, 5, 7] = value
        blocks = pack(*kv, "amx")
        with pytest.raises(InputError, match=f"{'kv'[half]} has values that are not finite"):
            make_codec(name, layout("amx")).encode(blocks)
        assert torch.equal(round_trip(make_codec("raw", layout("amx")), blocks), blocks)


@pytest.mark.parametrize("name", CODECS)
def test_sections_are_what_the_codec_says(name):
    codec = make_codec(name, layout("amx"))
    blocks = pack(*random_kv(), "amx")
    codec.check_section(codec.encode(blocks), 3)
    with pytest.raises(IntegrityError, match="a section of 2 blocks"):
        codec.decode(codec.encode(blocks), blocks[:2])
    section = dict(codec.encode(blocks))
    section.popitem()
    with pytest.raises(IntegrityError):
        codec.decode(section, blocks)


@pytest.mark.parametrize("name", CODECS)
def test_what_are_no_whole_blocks_is_refused(name):
    codec = make_codec(name, layout("amx"))
    size = codec.layout.block_bytes
    for bad in (
        torch.zeros(2, size - 2, dtype=torch.uint8),
        torch.zeros(2, size, dtype=torch.int8),
        torch.zeros(2 * size, dtype=torch.uint8),
        torch.zeros(2, 2 * size, dtype=torch.uint8)[:, ::2],
    ):
        with pytest.raises(ShapeError, match="blocks must be contiguous uint8"):
            codec.encode(bad)


def test_codecs_say_what_they_cannot_do():
    with pytest.raises(ConfigError, match="use raw"):
        make_codec("int8", layout(dtype="fp8_e5m2"))
    with pytest.raises(ConfigError, match="did you mean 'int8'"):
        make_codec("int88", layout())


def test_threads_may_share_a_codec():
    codec = make_codec("int8", layout("amx"))
    blocks = [pack(*random_kv(seed=seed), "amx") for seed in range(8)]
    expected = [round_trip(codec, item) for item in blocks]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda item: round_trip(codec, item), blocks))
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.filterwarnings("error")
def test_read_only_memory_is_shown_without_a_copy_or_a_warning():
    array = np.frombuffer(b"abcdefgh", np.uint8)
    tensor = tensor_of(array)
    assert tensor.data_ptr() == array.ctypes.data
    del array
    assert bytes(tensor.tolist()) == b"abcdefgh"
