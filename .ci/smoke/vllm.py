"""vLLM sees our entry point among its plug-ins, and its own factory makes our connector's class."""

from vllm.distributed.kv_transfer.kv_connector.factory import KVConnectorFactory
from vllm.plugins import load_general_plugins, load_plugins_by_group

assert "gainful" in load_plugins_by_group("vllm.general_plugins")
load_general_plugins()
connector = KVConnectorFactory.get_connector_class_by_name("SparKVConnector")
assert connector.__module__.split(".")[0] == "gainful_vllm", connector
print(connector)
