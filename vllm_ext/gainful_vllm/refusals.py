"""What would be wrong or dangerous is refused at start, with the flag that mends it."""

from typing import TYPE_CHECKING, Any

from gainful.errors import ConfigError
from gainful.sparkv.codec import CODECS
from gainful_vllm import SCHEDULER
from gainful_vllm.options import ConnectorOptions, Mode

if TYPE_CHECKING:
    from vllm.config import VllmConfig
    from vllm.v1.kv_cache_interface import KVCacheConfig

__all__ = ["check_cache", "check_engine", "choose_mode"]

UNTESTED_SIZES = ("pipeline_parallel_size", "decode_context_parallel_size", "prefill_context_parallel_size")


def check_engine(config: "VllmConfig", options: ConnectorOptions) -> None:
    """Look at the engine's settings; raises `ConfigError`."""
    for wrong, found, remedy in (*_transfer_rules(config), *_model_rules(config)):
        _refuse(wrong, found, remedy)
    _check_lossy(config, options)


Rule = tuple[bool, str, str]
"""What must not be, what it is, and what to do."""


def _transfer_rules(config: "VllmConfig") -> list[Rule]:
    transfer, algorithm = config.kv_transfer_config, config.cache_config.prefix_caching_hash_algo
    return [
        (
            transfer.kv_load_failure_policy != "recompute",
            f"kv_load_failure_policy is {transfer.kv_load_failure_policy!r}, must be 'recompute'",
            "set it in --kv-transfer-config, or a store that fails would end requests",
        ),
        (
            transfer.kv_role != "kv_both",
            f"kv_role is {transfer.kv_role!r}, must be 'kv_both'",
            "set it in --kv-transfer-config; a cache both loads and saves",
        ),
        (
            not algorithm.startswith("sha256"),
            f"prefix_caching_hash_algo is {algorithm!r}, and prompts of equal hash would share what is stored",
            "leave it at sha256",
        ),
    ]


def _model_rules(config: "VllmConfig") -> list[Rule]:
    sizes = {name: getattr(config.parallel_config, name) for name in UNTESTED_SIZES}
    return [
        *(
            (size > 1, f"{name} is {size}, and only 1 is tested", "leave it out, or use tensor_parallel_size")
            for name, size in sizes.items()
        ),
        (
            config.speculative_config is not None,
            "speculative decoding is on, and is not tested",
            "drop --speculative-config or the connector",
        ),
        (
            config.lora_config is not None,
            "LoRA is on, and block hashes know adapters by name only, whatever weights a name stands for later",
            "drop --enable-lora or the connector",
        ),
        (
            bool(config.model_config.is_multimodal_model),
            "the model is multimodal, which is not tested",
            "use a text model, or drop the connector",
        ),
    ]


def _check_lossy(config: "VllmConfig", options: ConnectorOptions) -> None:
    lossy = options.codec in CODECS and options.codec != "raw"
    caching = bool(config.cache_config.enable_prefix_caching)
    _refuse(
        lossy and caching and not options.allow_lossy_reuse,
        f"codec {options.codec!r} is lossy and prefix caching is on, so later requests would take its blocks for exact",
        "set allow_lossy_reuse to true in kv_connector_extra_config if that is fine, or codec to 'raw', "
        "or --no-enable-prefix-caching with mode 'async_prefix'",
    )


def check_cache(kv_cache_config: "KVCacheConfig") -> None:
    """Look at the cache's groups: one, of plain attention, on the CPU; raises `ConfigError`."""
    from vllm.platforms import current_platform
    from vllm.v1.kv_cache_interface import FullAttentionSpec

    _refuse(
        not current_platform.is_cpu(),
        f"the platform is {current_platform.device_name}, and this release moves blocks on CPUs only",
        "run it on vLLM for CPUs",
    )
    groups = kv_cache_config.kv_cache_groups
    kinds = [type(group.kv_cache_spec).__name__ for group in groups]
    _refuse(
        kinds != [FullAttentionSpec.__name__],
        f"the model's cache has groups {kinds}, and only one of FullAttentionSpec is tested",
        "use a model with plain attention in all layers, or drop the connector",
    )
    spec: Any = groups[0].kv_cache_spec
    window = spec.sliding_window or spec.attention_chunk_size
    _refuse(
        window is not None, f"the model has a sliding window of {window}, which is not tested", "drop the connector"
    )
    _refuse(
        spec.head_size_v not in (None, spec.head_size) or spec.page_size_padded is not None,
        "keys and values of the model differ in size, or blocks are padded, which is not tested",
        "drop the connector",
    )


def choose_mode(config: "VllmConfig", options: ConnectorOptions) -> Mode:
    """What `mode` means for this engine; raises `ConfigError` if the engine cannot do what is asked for."""
    has_scheduler = _has_our_scheduler(config)
    caching = bool(config.cache_config.enable_prefix_caching)
    if options.mode == "auto":
        return "two_pointer" if has_scheduler and caching else "async_prefix"
    if options.mode == "two_pointer":
        _refuse(
            not has_scheduler,
            "mode 'two_pointer' needs our scheduler class",
            f"add --scheduler-cls {SCHEDULER} (scheduler_cls={SCHEDULER!r} in LLM)",
        )
        _refuse(
            not caching,
            "mode 'two_pointer' needs prefix caching, which is off",
            "add --enable-prefix-caching (enable_prefix_caching=True in LLM), or choose mode 'layerwise'",
        )
    return options.mode


def _has_our_scheduler(config: "VllmConfig") -> bool:
    chosen = config.scheduler_config.scheduler_cls
    if chosen is None:
        return False
    from gainful_vllm.scheduler import SparKVScheduler

    found = config.scheduler_config.get_scheduler_cls()
    return isinstance(found, type) and issubclass(found, SparKVScheduler)


def _refuse(wrong: bool, found: str, remedy: str) -> None:
    if wrong:
        raise ConfigError(f"SparKVConnector: {found}; {remedy}")
