"""Adapter for LlamaIndex. This release holds nothing: the budget-aware agent is not part of it yet."""
