"""A CPU platform in verl's public `PlatformRegistry`. VERL_PLATFORM=cpu selects it; nothing detects it."""

import contextlib
import types

import torch
from verl.plugin.platform import PlatformBase, PlatformRegistry


def _ignore(*args, **kwargs) -> None:
    """Answers calls that only make sense for an accelerator."""


def _no_bytes(*args, **kwargs) -> int:
    """Answers questions about device memory: there is none."""
    return 0


def _device_module() -> types.ModuleType:
    """Stands in for `torch.cuda`, with the names that verl calls without asking for a device first."""
    module = types.ModuleType("verl_on_cpu.device")
    module.is_available = lambda: False
    module.get_device_name = lambda *args: "CPU"
    module.current_device = lambda: 0
    module.mem_get_info = lambda *args: (0, 0)
    for name in ("set_device", "synchronize", "empty_cache"):
        setattr(module, name, _ignore)
    for name in ("memory_allocated", "max_memory_allocated", "memory_reserved", "max_memory_reserved"):
        setattr(module, name, _no_bytes)
    # checkpoints save and restore the state of the device's generator
    module.get_rng_state, module.set_rng_state = torch.get_rng_state, torch.set_rng_state
    return module


@PlatformRegistry.register(platform="cpu")
class CpuPlatform(PlatformBase):
    """Every question of verl about its device, answered for the host."""

    device_name = "cpu"
    vendor_name = "generic"
    device_module = _device_module()

    set_device = synchronize = empty_cache = set_allocator_settings = _ignore
    profiler_start = profiler_stop = cudart = _ignore

    def is_available(self) -> bool:
        return True

    def is_platform_available(self, use_smi_check=False) -> bool:
        """Never detected: a machine with a GPU must not end up here by accident."""
        return False

    def current_device(self) -> str:
        return "cpu"

    def device_count(self) -> int:
        return 1

    def manual_seed(self, seed: int) -> None:
        torch.manual_seed(seed)

    def manual_seed_all(self, seed: int) -> None:
        torch.manual_seed(seed)

    def get_device_capability(self, device_index: int = 0) -> tuple[None, None]:
        return None, None

    def communication_backend_name(self) -> str:
        return "gloo"

    def visible_devices_envvar(self) -> str:
        return "CUDA_VISIBLE_DEVICES"

    def ray_resource_name(self) -> str:
        """verl counts Ray's "GPU"; the run starts Ray with a logical one."""
        return "GPU"

    def ray_noset_envvars(self) -> list[str]:
        return ["RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES"]

    def is_ipc_supported(self) -> bool:
        return False

    @contextlib.contextmanager
    def nvtx_range(self, msg: str):
        yield
