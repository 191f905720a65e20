"""What `gainful doctor vllm` asks in a fresh interpreter: is the connector found, and is a configuration sound?"""

import json
import os
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from gainful.doctor import Finding, answer
from gainful.errors import GainfulError
from gainful_vllm import CONNECTOR, SCHEDULER

__all__ = ["CONFIG_VARIABLE", "findings"]

CONFIG_VARIABLE = "GAINFUL_KV_TRANSFER_CONFIG"
"""Environment variable with the text of `--kv-transfer-config`, to have it explained."""


def findings() -> Iterator[Finding]:
    """Load vLLM's plug-ins as its processes do, and look the connector up by its name."""
    allowed = os.environ.get("VLLM_PLUGINS")
    if allowed is not None and "gainful" not in allowed.split(","):
        detail = f"VLLM_PLUGINS={allowed} keeps vLLM from loading gainful"
        yield Finding(CONNECTOR, "problem", detail, "unset VLLM_PLUGINS, or add gainful to its list")
        return
    yield _connector()
    yield _scheduler()
    yield _command()
    yield from _configuration(os.environ.get(CONFIG_VARIABLE, ""))


def _connector() -> Finding:
    from vllm.distributed.kv_transfer.kv_connector.factory import KVConnectorFactory
    from vllm.plugins import load_general_plugins

    load_general_plugins()
    try:
        found = KVConnectorFactory.get_connector_class_by_name(CONNECTOR)
    except (ValueError, ImportError) as error:
        return Finding(CONNECTOR, "problem", f"vLLM does not find it: {error}", "pip install --force-reinstall gainful")
    return Finding(CONNECTOR, "ok", f"kv_connector={CONNECTOR} is {found.__module__}.{found.__name__}")


def _scheduler() -> Finding:
    from vllm.utils.import_utils import resolve_obj_by_qualname

    try:
        resolve_obj_by_qualname(SCHEDULER)
    except (ImportError, AttributeError) as error:
        return Finding("two_pointer", "problem", f"the scheduler class cannot be imported: {error}", "pip check")
    return Finding("two_pointer", "ok", f"--scheduler-cls {SCHEDULER}")


def _command() -> Finding:
    try:
        return Finding("vllm serve", "ok", f"metadata of vllm {version('vllm')}")
    except PackageNotFoundError:
        detail = "the metadata of 'vllm' is missing, as in builds of another name, and the command ends with that"
        return Finding("vllm serve", "note", detail, "python -m vllm.entrypoints.openai.api_server --model MODEL")


def _configuration(text: str) -> Iterator[Finding]:
    if not text:
        return
    from gainful.sparkv.stores import redacted
    from gainful_vllm.options import read_options

    try:
        transfer = json.loads(text)
        options = read_options(transfer.get("kv_connector_extra_config", {}))
    except (ValueError, AttributeError, GainfulError) as error:
        yield Finding(CONFIG_VARIABLE, "problem", str(error), "mend the JSON of --kv-transfer-config")
        return
    for key, wanted in (
        ("kv_connector", CONNECTOR),
        ("kv_role", "kv_both"),
        ("kv_load_failure_policy", "recompute"),
    ):
        if transfer.get(key) != wanted:
            yield Finding(key, "problem", f"is {transfer.get(key)!r}, must be {wanted!r}", f'"{key}": "{wanted}"')
    detail = f"store {redacted(options.store)}, mode {options.mode}, codec {options.codec}, chunks of "
    detail += f"{options.chunk_blocks} blocks, {'saves' if options.save else 'does not save'}"
    yield Finding(CONFIG_VARIABLE, "ok", detail)
    if options.mode in ("auto", "two_pointer"):
        needs = f"--scheduler-cls {SCHEDULER}, prefix caching, and prefill steps that are short against the prompt"
        yield Finding("two_pointer", "note", f"needs {needs}", "--max-num-batched-tokens 512")


if __name__ == "__main__":
    answer(findings())
