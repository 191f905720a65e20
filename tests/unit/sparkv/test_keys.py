import hashlib
import json

import pytest
from pydantic import ValidationError

from gainful.errors import InputError
from gainful.sparkv.blocks import BlockLayout
from gainful.sparkv.keys import KeySpace, check_key

LAYOUT = {"num_kv_heads": 4, "block_size": 128, "head_dim": 64, "dtype": "bfloat16", "packing": "amx"}
FIELDS = {
    "model": "m",
    "revision": "abc",
    "layout": BlockLayout(**LAYOUT),
    "kv_layout": "LBHNC",
    "num_layers": 20,
    "rope": {"theta": 10000, "type": "default"},
    "block_hash": "sha256_cbor/0",
    "codec": "raw",
    "codec_version": 1,
}
HASHES = [hashlib.sha256(bytes([i])).digest() for i in range(7)]


def keys(**changes):
    return KeySpace(**{**FIELDS, **changes}).chunk_keys(HASHES)


def test_equal_spaces_give_equal_keys_and_every_hash_its_own():
    assert keys() == keys(rope={"type": "default", "theta": 10000})
    assert len(set(keys())) == len(HASHES)
    assert all(check_key(key) == key for key in keys())


def test_keys_are_those_of_the_formula():
    # worked out by hand from the formula, so that stored chunks outlive a rewrite
    space = KeySpace(**FIELDS)
    public = json.loads(space.model_dump_json(exclude={"tenant_salt", "shared"}))
    assert list(public)[:3] == ["model", "revision", "layout"]
    secret = hashlib.blake2b(b"", digest_size=32, person=b"sparkv-salt-v1").digest()
    text = json.dumps(public, separators=(",", ":")).encode()
    digest = hashlib.blake2b(text, digest_size=32, key=secret, person=b"sparkv-space-v1").digest()
    first = hashlib.blake2b(HASHES[0], digest_size=32, key=digest, person=b"sparkv-chunk-v1").hexdigest()
    assert space.chunk_keys(HASHES)[0] == first


@pytest.mark.parametrize(
    "change",
    [
        {"model": "other"},
        {"revision": "abd"},
        {"layout": BlockLayout(**{**LAYOUT, "packing": "vec"})},
        {"layout": BlockLayout(**{**LAYOUT, "dtype": "float16"})},
        {"layout": BlockLayout(**{**LAYOUT, "block_size": 64})},
        {"kv_layout": "LBNHC"},
        {"num_layers": 21},
        {"tp_size": 2},
        {"tp_rank": 1, "tp_size": 2},
        {"pp_size": 2},
        {"rope": {"theta": 500000}},
        {"block_hash": "sha256_cbor/1"},
        {"codec": "int8"},
        {"codec_version": 2},
        {"tenant_salt": b"0123456789abcdef"},
    ],
    ids=lambda change: "_".join(change),
)
def test_whatever_differs_no_key_is_shared(change):
    assert not set(keys()) & set(keys(**change))


def test_two_ranks_share_no_key():
    assert not set(keys(tp_rank=0, tp_size=2)) & set(keys(tp_rank=1, tp_size=2))


def test_the_key_of_a_chunk_is_that_of_its_last_block_and_a_rest_has_none():
    chunks = keys(blocks_per_chunk=3)
    assert len(chunks) == 2
    longer = KeySpace(**{**FIELDS, "blocks_per_chunk": 3}).chunk_keys(HASHES[:6])
    assert chunks == longer
    assert not set(chunks) & set(keys())  # block 2 ends a chunk of three and is one of its own: different bytes
    assert KeySpace(**FIELDS).chunk_keys([]) == ()


def test_a_shared_store_needs_a_long_salt_and_no_message_shows_it():
    with pytest.raises(ValidationError, match="needs tenant_salt"):
        KeySpace(**FIELDS, shared=True)
    with pytest.raises(ValidationError, match="at least 16 bytes") as error:
        KeySpace(**FIELDS, shared=True, tenant_salt=b"hunter2")
    salted = KeySpace(**FIELDS, shared=True, tenant_salt=b"hunter2hunter2hunter2")
    assert "hunter2" not in repr(salted) + salted.model_dump_json()
    assert "hunter2hunter2" not in str(error.value)
    assert salted.chunk_keys(HASHES) != keys()


@pytest.mark.parametrize("hashes", [[1, 2, 3], [(1, 2)], ["ab" * 32], [b"short"], [b"x" * 65]])
def test_tokens_and_other_things_are_refused(hashes):
    with pytest.raises(InputError, match="never token ids"):
        KeySpace(**FIELDS).chunk_keys(hashes)


def test_ranks_must_be_below_sizes():
    with pytest.raises(ValidationError, match="ranks must be below sizes"):
        KeySpace(**FIELDS, tp_rank=2, tp_size=2)


def test_spaces_are_frozen():
    with pytest.raises(ValidationError):
        KeySpace(**FIELDS).model = "other"


@pytest.mark.parametrize("key", ["", "..", "A" * 64, "a" * 63, "a" * 64 + "\n", "a/" * 32, None, b"a" * 64])
def test_what_is_no_key_is_refused(key):
    with pytest.raises(InputError, match="64 lower-case hexadecimal digits"):
        check_key(key)


def test_amx_blocks_are_whole_tiles():
    with pytest.raises(ValidationError, match="multiples of 16"):
        BlockLayout(**{**LAYOUT, "block_size": 24})
    # 2 (keys and values) x 4 heads x 128 tokens x 64 values x 2 bytes
    assert BlockLayout(**LAYOUT).block_bytes == 131_072
