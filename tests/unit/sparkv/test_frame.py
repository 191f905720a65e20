import base64
import hashlib
import struct
import tracemalloc
from importlib.util import find_spec

import numpy as np
import pytest

from gainful.errors import ConfigError, InputError, IntegrityError, MissingExtraError
from gainful.sparkv import compression
from gainful.sparkv.frame import FIXED_BYTES, header_bytes, read_frame, read_header, write_frame
from gainful.sparkv.sealing import Sealer, read_secret

KEY = "ab" * 32
KIND = {"codec": "raw", "codec_version": 1, "lossy": False}
needs_cryptography = pytest.mark.skipif(not find_spec("cryptography"), reason="extra: encryption; run make test-stores")
needs_zstandard = pytest.mark.skipif(not find_spec("zstandard"), reason="extra: zstd; run make test-stores")


def sections(num_layers=3):
    draw = np.random.default_rng(0)
    return [
        {"kv": draw.integers(0, 256, (2, 40), dtype=np.uint8), "scale": draw.random((2, 3), dtype=np.float32)}
        for _ in range(num_layers)
    ]


def frame(arrays=None, **changes):
    return b"".join(write_frame(arrays or sections(), **{"key": KEY, **KIND, **changes}))


def same(found, expected):
    return all(
        list(a) == list(b) and all(a[n].dtype == b[n].dtype and np.array_equal(a[n], b[n]) for n in b)
        for a, b in zip(found, expected, strict=True)
    )


def forged(data, change):
    """The frame with another table, its lengths and digest made to fit: what one who may write to the store can do."""
    table_bytes = struct.unpack_from("<I", data, 12)[0]
    table = change(data[FIXED_BYTES : FIXED_BYTES + table_bytes].rstrip())
    table = table.ljust(-(-(FIXED_BYTES + len(table)) // 64) * 64 - FIXED_BYTES)
    start = data[:12] + struct.pack("<I", len(table)) + data[16:32]
    digest = hashlib.blake2b(start + table, digest_size=32, person=b"sparkv-header-v1").digest()
    return start + digest + table + data[FIXED_BYTES + table_bytes :]


def test_what_was_written_is_read_with_its_flags():
    header, arrays = read_frame(frame(lossy=True, codec="int8", codec_version=3), key=KEY)
    assert same(arrays, sections())
    assert (header.lossy, header.table.codec, header.table.codec_version, header.num_layers) == (True, "int8", 3, 3)
    assert not read_frame(frame(), key=KEY)[0].lossy


def test_layers_are_read_and_checked_alone():
    data = frame()
    length = header_bytes(data[:FIXED_BYTES])
    header = read_header(data[:length], key=KEY)
    for first, last in ((0, 1), (1, 3), (2, 3), (1, 1), (0, 3)):
        begin, end = header.byte_range(first, last)
        assert same(header.open_layers(first, last, data[begin:end]), sections()[first:last])
    begin, end = header.byte_range(1, 2)
    damaged = bytearray(data)
    damaged[begin] ^= 1
    assert same(header.open_layers(0, 1, damaged[length:begin]), sections()[:1])
    with pytest.raises(IntegrityError, match="digest of layer 1"):
        header.open_layers(1, 2, damaged[begin:end])
    with pytest.raises(IntegrityError, match="have 104 bytes, found 103"):  # 80 bytes of kv and 24 of scale
        header.open_layers(1, 2, data[begin : end - 1])
    with pytest.raises(InputError, match="not within"):
        header.byte_range(2, 4)


def test_payload_begins_aligned_and_reading_copies_nothing():
    data = frame()
    header, arrays = read_frame(data, key=KEY)
    assert header.header_bytes % 64 == 0
    assert header.frame_bytes == len(data)
    assert np.shares_memory(arrays[0]["kv"], np.frombuffer(data, np.uint8))
    assert not arrays[0]["kv"].flags.writeable


def test_writing_refers_to_the_tensors():
    arrays = sections(1)
    parts = write_frame(arrays, key=KEY, **KIND)
    assert np.shares_memory(np.frombuffer(parts[1], np.uint8), arrays[0]["kv"])


def test_a_frame_under_another_key_is_refused():
    with pytest.raises(IntegrityError, match=f"written for key {KEY}"):
        read_frame(frame(), key="cd" * 32)


@pytest.mark.parametrize(
    "change",
    [
        lambda data: b"",
        lambda data: data[:63],
        lambda data: data[:100],
        lambda data: data[:-1],
        lambda data: data + b"\0",
        lambda data: b"X" + data[1:],
        lambda data: data[:8] + b"\2" + data[9:],
        lambda data: data[:10] + b"\4" + data[11:],
        lambda data: data[:24] + b"\1" + data[25:],
        lambda data: data[:12] + b"\xff\xff\xff\xff" + data[16:],
        lambda data: data[:16] + b"\xff" * 8 + data[24:],
        lambda data: data.replace(b'"kv"', b'"vk"'),
    ],
)
def test_damage_is_an_integrity_error(change):
    with pytest.raises(IntegrityError):
        read_frame(change(frame()), key=KEY)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.replace(b'"end":80', b'"end":81', 1), "overlap, leave gaps"),
        (lambda table: table.replace(b'"begin":80', b'"begin":0', 1), "overlap, leave gaps"),
        (lambda table: table.replace(b"[2,40]", b"[2,4000000000]", 1), "overlap, leave gaps"),
        (lambda table: table.replace(b"[2,40]", b"[-2,40]", 1), "greater than or equal"),
        (lambda table: table.replace(b"[2,40]", b"[2.0,40]", 1), "valid integer"),
        (lambda table: table.replace(b'"scale"', b'"kv"', 1), "two tensors of one name"),
        (lambda table: table.replace(b'"stored_bytes":104', b'"stored_bytes":103', 1), "stores 103 bytes for 104"),
        (lambda table: table.replace(b'"uint8"', b'"object"', 1), "table is not valid"),
        (lambda table: table.replace(b'"none"', b'"gzip"', 1), "table is not valid"),
        (lambda table: table.replace(b'"kv"', b'"../kv"', 1), "table is not valid"),
        (lambda table: table.replace(b"{", b'{"extra":1,', 1), "table is not valid"),
        (lambda table: table.replace(b'{"key"', b'{"codec":"raw","key"', 1), "canonical"),
        (lambda table: table.replace(b",", b", ", 1), "canonical"),
        (lambda table: b"[" * 100_000, "table is not valid"),
        (lambda table: b'{"key":' + b"9" * 100_000, "table is not valid"),
        (lambda table: b"\xff\xfe", "table is not valid"),
    ],
)
def test_forged_tables_are_refused_by_what_they_say(change, message):
    with pytest.raises(IntegrityError, match=message):
        read_frame(forged(frame(), change), key=KEY)


def test_a_forged_size_allocates_nothing():
    huge = forged(frame(), lambda table: table.replace(b"[2,40]", b"[2,8000000000]", 1))
    tracemalloc.start()
    with pytest.raises(IntegrityError):
        read_frame(huge, key=KEY)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


def test_what_no_frame_can_hold_is_refused():
    with pytest.raises(InputError, match="dtype must be one of"):
        frame([{"kv": np.zeros(3, np.complex64)}])
    with pytest.raises(InputError, match="name"):
        frame([{"KV!": np.zeros(3, np.uint8)}])
    with pytest.raises(InputError, match="codec"):
        frame(codec="Not A Name")


@needs_zstandard
def test_compressed_sections_come_back():
    arrays = [{"kv": np.zeros((4, 1000), np.uint8)}] * 2
    data = frame(arrays, zstd_level=3)
    assert len(data) < 2000
    assert same(read_frame(data, key=KEY)[1], arrays)


@needs_zstandard
def test_a_compressed_section_may_not_grow_beyond_what_is_declared():
    import zstandard

    bomb = zstandard.ZstdCompressor().compress(bytes(1 << 26))
    unsized = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(100))
    for data, size in ((bomb, 100), (unsized, 100), (b"not zstd", 8), (bomb[:-3], 1 << 26), (bomb + b"x", 1 << 26)):
        with pytest.raises(IntegrityError):
            compression.decompress(data, size)


@needs_cryptography
def test_sealed_frames_need_the_key_and_show_nothing():
    sealer = Sealer([b"k" * 32])
    arrays = [{"kv": np.frombuffer(b"secret prompt" * 10, np.uint8)}]
    data = frame(arrays, sealer=sealer)
    assert b"secret" not in data
    assert same(read_frame(data, key=KEY, sealer=sealer)[1], arrays)
    with pytest.raises(IntegrityError, match="must be unsealed"):
        read_frame(data, key=KEY)
    with pytest.raises(IntegrityError, match="known here"):
        read_frame(data, key=KEY, sealer=Sealer([b"x" * 32]))
    # whoever strips the sealing strips the right to be read
    with pytest.raises(IntegrityError, match="must be sealed"):
        read_frame(frame(arrays), key=KEY, sealer=sealer)


@needs_cryptography
def test_a_sealed_header_cannot_be_forged_without_the_key():
    sealer = Sealer([b"k" * 32])
    data = frame(sealer=sealer)
    with pytest.raises(IntegrityError, match="digest of the header"):
        read_frame(
            forged(data, lambda table: table.replace(b'"codec":"raw"', b'"codec":"int8"')), key=KEY, sealer=sealer
        )


@needs_cryptography
def test_two_frames_of_equal_content_share_no_ciphertext_and_sections_cannot_be_swapped():
    sealer = Sealer([b"k" * 32])
    arrays = [{"kv": np.zeros(64, np.uint8)}] * 2
    parts, again = (write_frame(arrays, key=KEY, **KIND, sealer=sealer) for _ in range(2))
    assert b"".join(parts[1:]) != b"".join(again[1:])
    keys = sealer.frame_keys(sealer.key_id, bytes(24), KEY)
    first = b"".join(keys.encrypt(0, [b"abc", b"def"]))
    assert keys.decrypt(0, first) == b"abcdef"
    with pytest.raises(IntegrityError, match="tag does not match"):
        keys.decrypt(1, first)
    with pytest.raises(IntegrityError, match="tag does not match"):
        sealer.frame_keys(sealer.key_id, bytes(24), "cd" * 32).decrypt(0, first)


@needs_cryptography
def test_keys_come_from_the_environment_and_can_be_changed(monkeypatch):
    old, new = b"o" * 32, b"n" * 32
    monkeypatch.setenv("KV_OLD", base64.b64encode(old).decode())
    monkeypatch.setenv("KV_NEW", base64.b64encode(new).decode())
    data = frame(sealer=Sealer.from_environment("KV_OLD"))
    assert same(read_frame(data, key=KEY, sealer=Sealer.from_environment("KV_NEW", "KV_OLD"))[1], sections())


def test_a_bad_secret_is_named_and_not_shown(monkeypatch):
    monkeypatch.setenv("KV_KEY", "hunter2!")
    with pytest.raises(ConfigError, match="KV_KEY must hold base64") as error:
        read_secret("KV_KEY")
    assert "hunter2" not in str(error.value)
    with pytest.raises(ConfigError, match="KV_NONE is empty or not set"):
        read_secret("KV_NONE")
    with pytest.raises(ConfigError, match="keys of 32 bytes"):
        Sealer([b"short"])


def test_a_missing_package_names_its_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "zstandard", None)
    with pytest.raises(MissingExtraError, match=r"gainful\[zstd\]"):
        frame(zstd_level=1)
    monkeypatch.setitem(__import__("sys").modules, "cryptography.hazmat.primitives.ciphers.aead", None)
    with pytest.raises(MissingExtraError, match=r"gainful\[encryption\]"):
        Sealer([b"k" * 32])
