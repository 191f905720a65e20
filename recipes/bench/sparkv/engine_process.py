"""One real vLLM engine in a process of its own: reads orders as JSON lines, answers each with one.

python engine_process.py '{"llm": {...}}'

Standard output belongs to the answers; what vLLM prints goes to standard error.
"""

import json
import os
import sys
import time
from typing import Any


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    from vllm import LLM

    start = time.monotonic()
    llm = LLM(**json.loads(sys.argv[1])["llm"])
    layers = llm.llm_engine.model_config.hf_config.num_hidden_layers
    _say(answers, {"ready": time.monotonic() - start, "block_tokens": _block_tokens(llm), "layers": layers})
    for line in sys.stdin:
        order = json.loads(line)
        if order["op"] == "quit":
            break
        _say(answers, _generate(llm, order) if order["op"] == "generate" else {"reset": llm.reset_prefix_cache()})


def _say(answers: Any, record: dict[str, Any]) -> None:
    answers.write(json.dumps(record) + "\n")
    answers.flush()


def _block_tokens(llm: Any) -> int:
    return llm.llm_engine.vllm_config.cache_config.block_size


def _generate(llm: Any, order: dict[str, Any]) -> dict[str, Any]:
    from vllm import SamplingParams

    sampling = SamplingParams(
        max_tokens=order["output_tokens"],
        temperature=0,
        ignore_eos=True,
        detokenize=False,
        extra_args={"kv_transfer_params": {"sparkv": order["params"]}} if order["params"] else None,
    )
    prompts = [{"prompt_token_ids": prompt} for prompt in order["prompts"]]
    outputs = llm.generate(prompts, sampling, use_tqdm=False)
    return {
        "seconds": [output.metrics.first_token_latency for output in outputs],
        "tokens": [list(output.outputs[0].token_ids) for output in outputs],
        "reports": [(output.kv_transfer_params or {}).get("sparkv") for output in outputs],
    }


if __name__ == "__main__":
    main()
