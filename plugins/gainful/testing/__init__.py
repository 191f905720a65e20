"""Contract checks for what plug-ins register: three lines in a third party's tests."""

from gainful.testing.advantage import Batch, check_advantage, random_batch

__all__ = ["Batch", "check_advantage", "random_batch"]
