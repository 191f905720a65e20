"""A frame that was changed anywhere is refused, or is the frame."""

from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gainful.errors import IntegrityError
from gainful.sparkv.frame import read_frame, read_header, write_frame
from gainful.sparkv.sealing import Sealer

KEY = "0f" * 32
DTYPES = ("uint8", "int8", "uint16", "float16", "float32")
VARIANTS = [(None, False)]
VARIANTS += [(3, False)] if find_spec("zstandard") else []
VARIANTS += [(None, True)] if find_spec("cryptography") else []


@st.composite
def tensors(draw):
    shape = tuple(draw(st.lists(st.integers(0, 5), min_size=0, max_size=4)))
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    size = int(np.prod(shape)) * dtype.itemsize
    return np.frombuffer(draw(st.binary(min_size=size, max_size=size)), dtype).reshape(shape)


names = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
frames = st.lists(st.dictionaries(names, tensors(), min_size=1, max_size=4), max_size=4)


def write(sections, zstd_level=None, sealer=None):
    parts = write_frame(
        sections, key=KEY, codec="raw", codec_version=1, lossy=False, zstd_level=zstd_level, sealer=sealer
    )
    return b"".join(parts)


def content(sections):
    return [
        {name: (array.dtype.name, array.shape, array.tobytes()) for name, array in item.items()} for item in sections
    ]


@pytest.mark.parametrize(("zstd_level", "sealed"), VARIANTS)
@settings(max_examples=40)
@given(sections=frames)
def test_every_frame_is_read_as_it_was_written_whole_and_layer_by_layer(zstd_level, sealed, sections):
    sealer = Sealer([b"k" * 32]) if sealed else None
    data = write(sections, zstd_level, sealer)
    header, found = read_frame(data, key=KEY, sealer=sealer)
    assert content(found) == content(sections)
    for layer in range(header.num_layers):
        begin, end = header.byte_range(layer, layer + 1)
        assert content(header.open_layers(layer, layer + 1, data[begin:end])) == content(sections[layer : layer + 1])


@pytest.mark.parametrize(("zstd_level", "sealed"), VARIANTS)
@settings(max_examples=150)
@given(sections=frames, data=st.data())
def test_every_changed_frame_is_refused(zstd_level, sealed, sections, data):
    sealer = Sealer([b"k" * 32]) if sealed else None
    original = write(sections, zstd_level, sealer)
    changed = bytearray(original)
    begin = data.draw(st.integers(0, len(original)))
    end = data.draw(st.integers(begin, min(len(original), begin + 8)))
    changed[begin:end] = data.draw(st.binary(max_size=8))
    if changed == original:
        return
    with pytest.raises(IntegrityError):
        read_frame(changed, key=KEY, sealer=sealer)


@settings(max_examples=300)
@given(noise=st.binary(max_size=300), begin=st.sampled_from([b"", b"SPARKV\x1a\n\x01\x00"]))
def test_noise_is_refused(noise, begin):
    with pytest.raises(IntegrityError):
        read_header(begin + noise, key=KEY)
