"""FSDP2 engines for "cpu" in verl's public `EngineRegistry`, over a gloo process group.

Imported in training processes only, which have RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT in their environment.
"""

import torch
from transformers import AutoModelForTokenClassification
from verl.utils.torch_dtypes import PrecisionType
from verl.workers.engine import EngineRegistry
from verl.workers.engine.fsdp.transformer_impl import FSDPEngineWithLMHead, FSDPEngineWithValueHead

from .host import require

require(FSDPEngineWithLMHead, "_build_fsdp_module", used_for="a reference policy without pinned memory")
require(FSDPEngineWithValueHead, "_build_module", used_for="a critic without flash attention")

# verl would ask for "cpu:gloo,cpu:gloo", which torch refuses; it keeps a group that it finds initialised
if not torch.distributed.is_initialized():
    torch.distributed.init_process_group(backend="cpu:gloo")


@EngineRegistry.register(model_type="language_model", backend="fsdp2", device="cpu")
class CpuLanguageModelEngine(FSDPEngineWithLMHead):
    """Actor and reference policy."""

    def _build_fsdp_module(self, module: torch.nn.Module) -> torch.nn.Module:
        """Shard `module`, without the offload that verl gives to reference policies.

        The offload pins memory, which needs an accelerator, and the weights are on the host already. verl decides
        by `forward_only`, read inside the one method that is overridden here; there is no public switch.
        """
        config = self.engine_config
        forward_only, config.forward_only = config.forward_only, False
        try:
            return super()._build_fsdp_module(module)
        finally:
            config.forward_only = forward_only


@EngineRegistry.register(model_type="value_model", backend="fsdp2", device="cpu")
class CpuValueModelEngine(FSDPEngineWithValueHead):
    """Critic, for estimators that ask for one."""

    def _build_module(self) -> torch.nn.Module:
        """Load a model with one output per token; verl's own loader hard-codes flash attention."""
        config = self.model_config.hf_config
        config.num_labels, config.classifier_dropout = 1, 0.0
        dtype = PrecisionType.to_dtype(self.engine_config.model_dtype or "float32")
        return AutoModelForTokenClassification.from_pretrained(self.model_config.local_path, config=config, dtype=dtype)
