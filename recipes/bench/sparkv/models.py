"""Llamas with random weights, written on the spot; what is timed does not depend on what weights say."""

from pathlib import Path

SIZES = {  # hidden, inner, layers, heads, heads of keys and values; the head size must be one of vLLM's
    "tiny": (128, 256, 4, 4, 2),
    "60M": (512, 1408, 16, 8, 4),
    "234M": (1024, 2816, 20, 16, 4),
}
VOCABULARY = {"tiny": 1024}
LONGEST = 32768


def model_folder(bases: Path, name: str) -> Path:
    """The folder, written first if it is not there."""
    folder = bases / f"sparkv-{name}"
    if not (folder / "model.safetensors").exists():
        _write(folder, name)
    return folder


def _write(folder: Path, name: str) -> None:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    hidden, inner, layers, heads, kv_heads = SIZES[name]
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY.get(name, 4096),
        hidden_size=hidden,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        max_position_embeddings=LONGEST,
        tie_word_embeddings=False,
        initializer_range=0.05,  # or all logits are about equal, and tokens are decided by rounding
    )
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
