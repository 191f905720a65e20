"""Arrays of a frame as tensors, without a copy."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

__all__ = ["tensor_of"]


class _Writable:
    """Shows read-only memory to torch, which has no read-only tensors and warns about every such array."""

    def __init__(self, array: npt.NDArray[np.generic]) -> None:
        self._array = array  # keeps the memory alive
        self.__array_interface__ = {**array.__array_interface__, "data": (array.ctypes.data, False)}


def tensor_of(array: npt.NDArray[np.generic]) -> Tensor:
    """A tensor over an array's memory, which must not be written to if the array is read-only."""
    shown: Any = array if array.flags.writeable else np.asarray(_Writable(array))
    return torch.from_numpy(shown)
