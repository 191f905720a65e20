"""`kv_connector_extra_config` and a request's `kv_transfer_params` -> frozen option sets."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from gainful.config import Options, from_mapping

__all__ = ["PARAMS", "SECTION", "ConnectorOptions", "Mode", "RequestParams", "read_options", "read_params"]

SECTION = "kv_connector_extra_config"
PARAMS = "sparkv"
"""Key in a request's `kv_transfer_params`, and in those that come back."""
Mode = Literal["two_pointer", "layerwise", "async_prefix"]
Seconds = Annotated[float, Field(gt=0.0, le=3600.0)]


class ConnectorOptions(Options):
    """Options of `SparKVConnector`; all defaults are ours."""

    store: str = Field(min_length=1)
    """URL of the store: `file:///var/cache/kv`, `redis://cache:6379`, `s3://bucket/prefix`."""
    store_options: dict[str, Any] = Field(default_factory=dict)
    """Options of the store, such as `capacity_bytes`."""
    mode: Literal["auto"] | Mode = "auto"
    """`auto` is `two_pointer` where the engine has our scheduler class, or else `async_prefix`."""
    codec: str = "raw"
    """`raw` keeps every bit; `int8` and `int4` are smaller and lossy."""
    allow_lossy_reuse: bool = False
    """Let blocks of a lossy codec enter the engine's prefix cache, where later requests take them for exact ones."""
    zstd_level: Annotated[int, Field(ge=1, le=19)] | None = None
    """Compress frames."""
    chunk_blocks: Annotated[int, Field(ge=1, le=4096)] = 1
    """Engine blocks in a chunk, which is what is stored under one key and fetched at once."""
    save: bool = True
    """Store the whole blocks of a prompt after its prefill."""
    min_tokens: NonNegativeInt = 0
    """Prompts with fewer reusable tokens are left to the engine."""
    use_plan: bool = True
    """Ask the cost model before streaming; without it two pointers always race."""
    lookup_seconds: Seconds = 0.25
    """Longest time that a request waits for the answer to what is stored."""
    load_seconds: Seconds = 30.0
    """What has not come by then is computed."""
    stall_seconds: Seconds = 2.0
    """`layerwise`: longest time that one forward waits for the store; it stalls the whole batch."""
    save_seconds: Seconds = 30.0
    """For one chunk to be written."""
    max_loads: PositiveInt = 4
    """Requests that are streamed at once; others wait their turn while they are computed."""
    staging_bytes: PositiveInt = 1 << 30
    """Most host memory of each worker for what has come and is not yet taken over."""
    save_bytes: PositiveInt = 512 << 20
    """Most host memory of each worker for what is to be written; what does not fit is not saved."""
    shared: bool = False
    """True if tenants who must not see each other's prompts use the store."""
    tenant_salt_variable: str = ""
    """Environment variable with the tenant's secret in base64, at least 16 bytes."""
    encryption_key_variables: tuple[str, ...] = ()
    """Environment variables with AES-256 keys in base64; the first one seals."""
    weights_revision: Annotated[str, Field(max_length=128, pattern=r"^[^#]*$")] = ""
    """Names the weights, where files of one digest of names, sizes and times are not the same on all machines."""
    calibration_folder: Path | None = Path("~/.cache/gainful/sparkv")
    """Where measured prefill steps are kept; null for nowhere."""
    refit_steps: PositiveInt = 16
    """Prefill steps between two fits."""

    @model_validator(mode="after")
    def _salted(self) -> "ConnectorOptions":
        """A shared store needs the tenant's salt."""
        if self.shared and not self.tenant_salt_variable:
            raise ValueError("a shared store needs tenant_salt_variable, or one tenant can probe another's prompts")
        return self


class RequestParams(Options):
    """What a client may ask for one request: `kv_transfer_params={"sparkv": {...}}`."""

    mode: Literal["compute"] | Mode | None = None
    """Instead of the engine's mode; one that the engine cannot do is computed."""
    save: bool | None = None
    """Instead of the engine's `save`; a client cannot turn it on where the engine has it off."""
    stream_tokens: NonNegativeInt | None = None
    """`layerwise` and `async_prefix`: stream this prefix instead of the planned one."""
    use_plan: bool | None = None
    """Instead of the engine's `use_plan`."""
    max_seconds: PositiveFloat | None = None
    """Shorter than the engine's `load_seconds`."""


def read_options(extra_config: Mapping[str, Any]) -> ConnectorOptions:
    """Raises `ConfigError` with the unknown or impossible option, what was found and what is known."""
    return from_mapping(ConnectorOptions, extra_config, where=SECTION, owner="SparKVConnector")


def read_params(kv_transfer_params: Mapping[str, Any] | None) -> RequestParams:
    """Raises `ConfigError`; parameters of other connectors are not looked at."""
    section = (kv_transfer_params or {}).get(PARAMS)
    return from_mapping(RequestParams, section, where=f"kv_transfer_params.{PARAMS}", owner="a request")
