"""Adapter for vLLM: `SparKVConnector` streams part of a KV cache from a store while the engine computes the rest."""

import logging

__all__ = ["CONNECTOR", "SCHEDULER", "register"]

CONNECTOR = "SparKVConnector"
"""What `kv_connector` is set to."""
MODULE = "gainful_vllm.connector"
"""For `kv_connector_module_path`, where entry points are switched off."""
SCHEDULER = "gainful_vllm.scheduler.SparKVScheduler"
"""What `scheduler_cls` is set to, for the mode `two_pointer`."""

logger = logging.getLogger("vllm.gainful")  # a child of vLLM's own, or nobody would see its lines

_called: list[bool] = []


def register() -> None:
    """What vLLM calls, perhaps twice, in each of its processes: cheap, idempotent, never raises."""
    if _called:
        return
    _called.append(True)
    try:
        from vllm.distributed.kv_transfer.kv_connector.factory import KVConnectorFactory

        from gainful import hosts

        hosts.require("vllm")
        KVConnectorFactory.register_connector(CONNECTOR, MODULE, CONNECTOR)
        logger.info("gainful: kv_connector=%s can be used", CONNECTOR)
    except Exception as error:  # an engine that does not use us must start all the same
        logger.warning("gainful: %s is not registered: %s; 'gainful doctor vllm' says more", CONNECTOR, error)
