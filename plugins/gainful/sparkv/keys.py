"""Keys of stored chunks: what two engines must have in common before one may read what the other wrote.

A key hides its ingredients (BLAKE2b), has a fixed alphabet and can be a file name, a Redis key or an object name.
Tokens never enter a key directly: the engine's chain of block hashes stands for them, and brings its own salt, LoRA and
multimodal parts along.
"""

import json
import re
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

from pydantic import Field, SecretBytes, field_validator, model_validator

from gainful.config import Options
from gainful.errors import InputError
from gainful.sparkv.blocks import BlockLayout

__all__ = ["KEY_CHARACTERS", "KeySpace", "check_key"]

KEY_CHARACTERS = 64
_KEY = re.compile(r"[0-9a-f]{64}")
_HASH_BYTES = range(16, 65)
MIN_SALT_BYTES = 16


def check_key(key: str) -> str:
    """`key` itself; `InputError` if it is no key. Stores call it before a key becomes part of a path or a command."""
    if not (isinstance(key, str) and _KEY.fullmatch(key)):
        raise InputError(f"a key is {KEY_CHARACTERS} lower-case hexadecimal digits, got {key!r:.80}")
    return key


class KeySpace(Options):
    """Everything beside the tokens on which the bytes of a chunk depend; equal spaces give equal keys."""

    model: str = Field(min_length=1, max_length=1024)
    """Name or path as given to the engine."""
    revision: str = Field(min_length=1, max_length=256)
    """Commit or digest of the weights; a name alone does not say which weights."""
    layout: BlockLayout
    """Shape, dtype and kernel packing of a block."""
    kv_layout: str = Field(min_length=1, max_length=64)
    """Order of the axes of the cache tensors, by the engine's name for it: `LBHNC`."""
    num_layers: int = Field(ge=1, le=1024)
    """Layers in a frame: those of this pipeline rank."""
    blocks_per_chunk: int = Field(default=1, ge=1, le=4096)
    """Engine blocks in a chunk."""
    tp_rank: int = Field(default=0, ge=0)
    """Tensor-parallel rank; ranks hold different heads."""
    tp_size: int = Field(default=1, ge=1)
    """Tensor-parallel size."""
    pp_rank: int = Field(default=0, ge=0)
    """Pipeline rank; ranks hold different layers."""
    pp_size: int = Field(default=1, ge=1)
    """Pipeline size."""
    rope: str = "{}"
    """Settings of the rotary embedding; a mapping becomes canonical JSON."""
    block_hash: str = Field(min_length=1, max_length=64)
    """Algorithm and seed of the engine's block hashes: engines that differ in them never share a key."""
    codec: str = Field(pattern=r"[a-z][a-z0-9_]{0,31}")
    """Name of the codec of the frames."""
    codec_version: int = Field(ge=1, le=65535)
    """Its version."""
    shared: bool = False
    """True if tenants who must not see each other's prompts use one store."""
    tenant_salt: SecretBytes | None = None
    """Secret of the tenant, at least 16 bytes; without it nobody can tell whether a prompt is stored."""

    @field_validator("rope", mode="before")
    @classmethod
    def _canonical(cls, value: Any) -> Any:
        """One spelling for equal settings."""
        return json.dumps(value, sort_keys=True, separators=(",", ":")) if isinstance(value, Mapping) else value

    @model_validator(mode="after")
    def _consistent(self) -> "KeySpace":
        """Ranks within sizes, and a salt where strangers meet."""
        if self.tp_rank >= self.tp_size or self.pp_rank >= self.pp_size:
            raise ValueError(
                f"ranks must be below sizes, got tp {self.tp_rank}/{self.tp_size}, pp {self.pp_rank}/{self.pp_size}"
            )
        if self.shared and self.tenant_salt is None:
            raise ValueError(
                "a store shared across tenants needs tenant_salt, or one tenant can probe another's prompts"
            )
        if self.tenant_salt is not None and len(self.tenant_salt.get_secret_value()) < MIN_SALT_BYTES:
            raise ValueError(f"tenant_salt must have at least {MIN_SALT_BYTES} bytes")
        return self

    @property
    def chunk_tokens(self) -> int:
        """Tokens of one chunk."""
        return self.blocks_per_chunk * self.layout.block_size

    def digest(self) -> bytes:
        """32 bytes that stand for the whole space, salt included."""
        salt = self.tenant_salt.get_secret_value() if self.tenant_salt is not None else b""
        secret = blake2b(salt, digest_size=32, person=b"sparkv-salt-v1").digest()
        public = self.model_dump_json(exclude={"tenant_salt", "shared"}).encode()
        return blake2b(public, digest_size=32, key=secret, person=b"sparkv-space-v1").digest()

    def chunk_keys(self, block_hashes: Sequence[bytes]) -> tuple[str, ...]:
        """One key for each whole chunk of a prompt, in prompt order.

        Args:
            block_hashes: The engine's chain, one hash of 16 to 64 bytes for each full block: hash i covers all tokens
                up to the end of block i, so that the last hash of a chunk stands for the chunk and all before it.

        Returns:
            Keys of chunks 0, 1, ...; blocks beyond the last whole chunk have none.

        Raises:
            InputError: A hash is not bytes of a plausible length; token ids are refused.
        """
        for block_hash in block_hashes:
            if not (isinstance(block_hash, bytes) and len(block_hash) in _HASH_BYTES):
                raise InputError(
                    f"block hashes must be bytes of length {_HASH_BYTES.start} to {_HASH_BYTES.stop - 1}, "
                    f"got {type(block_hash).__name__}; pass the engine's chained hashes, never token ids"
                )
        space = self.digest()
        last = block_hashes[self.blocks_per_chunk - 1 :: self.blocks_per_chunk]
        return tuple(blake2b(item, digest_size=32, key=space, person=b"sparkv-chunk-v1").hexdigest() for item in last)
