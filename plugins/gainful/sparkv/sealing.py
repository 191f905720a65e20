"""Optional encryption of frames: AES-256-GCM with a key of its own for every frame.

The master key comes from an environment variable, never from a URL or an option file. Frame keys are derived from it
and from 24 random bytes that stand in the frame, so nonces may simply count sections: no pair of key and nonce repeats.
"""

import base64
import binascii
import os
from collections.abc import Sequence
from hashlib import blake2b
from importlib import import_module
from typing import Any

from gainful.errors import ConfigError, IntegrityError, MissingExtraError

__all__ = ["NONCE_BYTES", "TAG_BYTES", "FrameKeys", "Sealer", "read_secret"]

KEY_BYTES = 32
NONCE_BYTES = 24
TAG_BYTES = 16

Buffer = bytes | bytearray | memoryview


def read_secret(variable: str) -> bytes:
    """The bytes whose base64 an environment variable holds; `ConfigError`, without the value, if it cannot be read."""
    text = os.environ.get(variable, "").strip()
    if not text:
        raise ConfigError(f"environment variable {variable} is empty or not set; it must hold base64")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ConfigError(f"environment variable {variable} must hold base64, found something else") from None


class FrameKeys:
    """Keys of one frame: `mac_key` for its header, AES-GCM for its sections."""

    def __init__(self, master: bytes, nonce: bytes, frame_key: str) -> None:
        def derive(person: bytes) -> bytes:
            return blake2b(nonce, digest_size=32, key=master, person=person).digest()

        self.mac_key = derive(b"sparkv-header-v1")
        self._secret = derive(b"sparkv-seal-v1")
        self._context = frame_key.encode()

    def encrypt(self, index: int, parts: Sequence[Buffer]) -> list[Buffer]:
        """Ciphertext of section `index`, part by part, then its tag."""
        nonce, context = self._nonce_and_context(index)
        ciphers = _cryptography("hazmat.primitives.ciphers")
        encryptor = ciphers.Cipher(ciphers.algorithms.AES(self._secret), ciphers.modes.GCM(nonce)).encryptor()
        encryptor.authenticate_additional_data(context)
        sealed = [encryptor.update(part) for part in parts]
        return [*sealed, encryptor.finalize(), encryptor.tag]

    def decrypt(self, index: int, data: Buffer) -> bytes:
        """What `encrypt` was given, in one piece; `IntegrityError` if anything about it was changed."""
        nonce, context = self._nonce_and_context(index)
        aead = _cryptography("hazmat.primitives.ciphers.aead")
        try:
            plain: bytes = aead.AESGCM(self._secret).decrypt(nonce, data, context)
        except _cryptography("exceptions").InvalidTag as error:
            raise IntegrityError(f"section {index}: its AES-GCM tag does not match; the frame was altered") from error
        return plain

    def _nonce_and_context(self, index: int) -> tuple[bytes, bytes]:
        counter = index.to_bytes(12, "little")
        return counter, self._context + counter


class Sealer:
    """Seals frames with its first key and opens those of all its keys, so that keys can be changed without a gap.

    Args:
        masters: Secret keys of 32 bytes.

    Raises:
        ConfigError: No key, or one of another length.
        MissingExtraError: `cryptography` is not installed.
    """

    def __init__(self, masters: Sequence[bytes]) -> None:
        if not masters or any(len(master) != KEY_BYTES for master in masters):
            lengths = [len(master) for master in masters]
            raise ConfigError(f"encryption needs one or more keys of {KEY_BYTES} bytes, got lengths {lengths}")
        _cryptography("hazmat.primitives.ciphers.aead")
        self._masters = {_key_id(master): master for master in masters}
        self.key_id = _key_id(masters[0])

    @classmethod
    def from_environment(cls, *variables: str) -> "Sealer":
        """Keys from environment variables, base64 of 32 bytes each; the first one seals."""
        return cls([read_secret(variable) for variable in variables])

    def new_nonce(self) -> bytes:
        """Random bytes for one frame."""
        return os.urandom(NONCE_BYTES)

    def frame_keys(self, key_id: str, nonce: bytes, frame_key: str) -> FrameKeys:
        """Keys of the frame stored under `frame_key`; `IntegrityError` if its master key is not among ours."""
        if key_id not in self._masters:
            raise IntegrityError(f"frame is sealed with key {key_id!r}; known here: {', '.join(self._masters)}")
        return FrameKeys(self._masters[key_id], nonce, frame_key)


def _key_id(master: bytes) -> str:
    """Names a key without telling anything about it."""
    return blake2b(master, digest_size=8, person=b"sparkv-key-id-v1").hexdigest()


def _cryptography(module: str) -> Any:
    try:
        return import_module(f"cryptography.{module}")
    except ImportError as error:
        raise MissingExtraError(
            "encrypted frames need the cryptography package; pip install 'gainful[encryption]'"
        ) from error
