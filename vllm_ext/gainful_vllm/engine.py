"""What the connector needs to know of an engine, read once from vLLM's configuration, the same in every process."""

import os
import platform
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from pydantic import SecretBytes

from gainful.errors import ConfigError
from gainful.sparkv.blocks import BlockLayout, Packing
from gainful.sparkv.codec import Codec, make_codec
from gainful.sparkv.coder import ChunkCoder
from gainful.sparkv.keys import KeySpace
from gainful.sparkv.sealing import Sealer, read_secret
from gainful_vllm.options import ConnectorOptions

if TYPE_CHECKING:
    from vllm.config import ModelConfig, VllmConfig
    from vllm.v1.kv_cache_interface import KVCacheConfig

__all__ = ["Engine", "describe_engine"]

WEIGHT_FILES = ("*.safetensors", "*.bin", "*.pt", "*.gguf")


@dataclass(frozen=True, slots=True)
class Engine:
    """Sizes and names that do not change while the engine runs."""

    options: ConnectorOptions
    codec: Codec
    num_layers: int
    block_tokens: int
    """Tokens of a block of the cache."""
    step_tokens: int
    """Most tokens of one engine step."""
    tp_rank: int
    tp_size: int
    prefix_caching: bool
    spaces: tuple[KeySpace, ...]
    """Of all ranks."""
    model_name: str
    device_name: str

    @property
    def chunk_tokens(self) -> int:
        """Tokens of a chunk."""
        return self.options.chunk_blocks * self.block_tokens

    @property
    def block_bytes(self) -> int:
        """Bytes of a block of one layer, on this rank."""
        return self.codec.layout.block_bytes

    @property
    def chunk_bytes(self) -> int:
        """Bytes of a chunk in host memory, all layers, on this rank."""
        return self.num_layers * self.options.chunk_blocks * self.block_bytes

    def renewed(self, epoch: str) -> "Engine":
        """The same with keys that nobody has used: what was stored before is never found again."""
        spaces = tuple(
            space.model_copy(update={"revision": f"{space.revision.partition('#')[0]}#{epoch}"})
            for space in self.spaces
        )
        return replace(self, spaces=spaces)

    def coder(self) -> ChunkCoder:
        """Codec, compression and sealing as the options say; keys come from the environment."""
        variables = self.options.encryption_key_variables
        sealer = Sealer.from_environment(*variables) if variables else None
        return ChunkCoder(self.codec, num_layers=self.num_layers, zstd_level=self.options.zstd_level, sealer=sealer)


def describe_engine(config: "VllmConfig", kv_cache_config: "KVCacheConfig", options: ConnectorOptions) -> Engine:
    """Read vLLM's configuration; raises `ConfigError` for what no frame or key can describe."""
    group = kv_cache_config.kv_cache_groups[0]
    spec, parallel = group.kv_cache_spec, config.parallel_config
    layout = BlockLayout(
        num_kv_heads=spec.num_kv_heads,
        block_size=spec.block_size,
        head_dim=spec.head_size,
        dtype=_dtype_name(spec.dtype, config.cache_config.cache_dtype),
        packing=_packing(spec, config),
    )
    codec = make_codec(options.codec, layout)
    num_layers, tp_size = len(group.layer_names), parallel.tensor_parallel_size
    spaces = tuple(
        _space(config, options, layout, codec, num_layers, kv_cache_config.kv_cache_layout or "LBHNC", rank)
        for rank in range(tp_size)
    )
    return Engine(
        options=options,
        codec=codec,
        num_layers=num_layers,
        block_tokens=config.cache_config.block_size,
        step_tokens=config.scheduler_config.max_num_batched_tokens,
        tp_rank=parallel.rank % tp_size,
        tp_size=tp_size,
        prefix_caching=bool(config.cache_config.enable_prefix_caching),
        spaces=spaces,
        model_name=config.model_config.model[-500:],
        device_name=f"{platform.machine()} {platform.processor() or ''} tp{tp_size} {layout.dtype} {layout.packing}",
    )


def _space(
    config: "VllmConfig",
    options: ConnectorOptions,
    layout: BlockLayout,
    codec: Codec,
    num_layers: int,
    kv_layout: str,
    rank: int,
) -> KeySpace:
    model = config.model_config
    salt = read_secret(options.tenant_salt_variable) if options.tenant_salt_variable else None
    return KeySpace(
        model=model.model,
        revision=f"{_weights(options, model)} {model.dtype} {model.quantization}",
        layout=layout,
        kv_layout=kv_layout,
        num_layers=num_layers,
        blocks_per_chunk=options.chunk_blocks,
        tp_rank=rank,
        tp_size=config.parallel_config.tensor_parallel_size,
        rope=_rope(model.hf_text_config),
        block_hash=f"{config.cache_config.prefix_caching_hash_algo}:{_hash_seed()}"[:64],
        codec=codec.name,
        codec_version=codec.version,
        shared=options.shared,
        tenant_salt=SecretBytes(salt) if salt is not None else None,
    )


def _weights(options: ConnectorOptions, model: "ModelConfig") -> str:
    return options.weights_revision or _weights_revision(model.model, model.revision)


def _weights_revision(model: str, revision: str | None) -> str:
    """The commit that a hub name was resolved to, or a digest of what identifies the files of a folder.

    Times are part of it: a copy of a model counts as another one, which costs a cache, and never shares one wrongly.
    """
    folder = Path(model)
    if not folder.is_dir():
        return revision or "main"
    state = blake2b(digest_size=16)
    for file in sorted(path for pattern in WEIGHT_FILES for path in folder.glob(pattern)):
        status = file.stat()
        state.update(f"{file.name}:{status.st_size}:{status.st_mtime_ns};".encode())
    return state.hexdigest()


def _rope(config: Any) -> dict[str, Any]:
    """Everything about positions; as text, since values may be of any type."""
    names = ("rope_theta", "rope_scaling", "rope_parameters", "max_position_embeddings", "partial_rotary_factor")
    return {name: repr(getattr(config, name, None)) for name in names}


def _hash_seed() -> str:
    """Digest of the seed that the engine's block hashes begin with."""
    from vllm.v1.core.kv_cache_utils import DEFAULT_NONE_HASH_SEED

    seed = os.environ.get("PYTHONHASHSEED", DEFAULT_NONE_HASH_SEED)
    return blake2b(seed.encode(), digest_size=8).hexdigest()


def _dtype_name(dtype: Any, cache_dtype: str) -> str:
    if cache_dtype.startswith("fp8"):
        return "fp8_e5m2" if cache_dtype == "fp8_e5m2" else "fp8_e4m3"
    return str(dtype).removeprefix("torch.")


def _packing(spec: Any, config: "VllmConfig") -> str:
    """How the CPU's kernels order the values of a block; asked of vLLM itself."""
    from vllm.v1.attention.backends.cpu_attn import _get_attn_isa

    found = _get_attn_isa(spec.dtype, spec.block_size, spec.head_size, config.cache_config.cache_dtype)
    if found not in get_args(Packing):
        raise ConfigError(f"SparKVConnector: this processor packs blocks as {found!r}; known: {get_args(Packing)}")
    return found
