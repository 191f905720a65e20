"""Every error that gainful raises on purpose.

GainfulError
├── ConfigError (ValueError)              impossible value, unknown key
├── ShapeError (ValueError)               rank, dtype or size of an input
├── InputError (ValueError)               content of an input: not finite, outside the method's range
├── MissingInputError (LookupError)       a method needs what the host does not pass
├── UnknownNameError (LookupError)        lists the known names and the plug-ins that failed to load
├── DuplicateNameError (ValueError)       two plug-ins claim one name
├── PluginError (RuntimeError)            a plug-in breaks the hook contract
├── HostVersionError (ImportError)        host outside the supported range
├── MissingExtraError (ImportError)       names the extra to install
├── BudgetExceededError (RuntimeError)    only with on_exhausted="raise"; the default is an answer and a reason
└── StoreError (OSError)                  store unreachable or refusing
    ├── IntegrityError                    digest, length or key does not match
    ├── StoreFullError                    no room, and what could make room is leased
    └── StoreTimeoutError (TimeoutError)  not done before the deadline
"""

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = [
    "BudgetExceededError",
    "ConfigError",
    "DuplicateNameError",
    "GainfulError",
    "HostVersionError",
    "InputError",
    "IntegrityError",
    "MissingExtraError",
    "MissingInputError",
    "PluginError",
    "ShapeError",
    "StoreError",
    "StoreFullError",
    "StoreTimeoutError",
    "UnknownNameError",
    "did_you_mean",
]


class GainfulError(Exception):
    """Base of all errors below: `except GainfulError` catches what gainful raises and nothing else."""


class ConfigError(GainfulError, ValueError):
    """An option has an impossible value or an unknown name."""


class ShapeError(GainfulError, ValueError):
    """An input has the wrong rank, dtype, size or device."""


class InputError(GainfulError, ValueError):
    """An input has the right shape and a content that no method can use."""


class MissingInputError(GainfulError, LookupError):
    """A method needs an input that was not passed."""


class UnknownNameError(GainfulError, LookupError):
    """No plug-in registered this name."""


class DuplicateNameError(GainfulError, ValueError):
    """Two plug-ins claim one name."""


class PluginError(GainfulError, RuntimeError):
    """A plug-in breaks the hook contract."""


class HostVersionError(GainfulError, ImportError):
    """The host is missing or outside the supported range."""


class MissingExtraError(GainfulError, ImportError):
    """An optional dependency is missing; the message names the extra."""


class BudgetExceededError(GainfulError, RuntimeError):
    """A hard budget is spent and the caller asked for an exception instead of an answer."""


class StoreError(GainfulError, OSError):
    """A store is unreachable or refuses."""


class IntegrityError(StoreError):
    """What a store returned is not what was written: digest, length or key differ."""


class StoreFullError(StoreError):
    """A store has no room for an entry and may not make any: what it holds is leased, or the entry is too large."""


class StoreTimeoutError(StoreError, TimeoutError):
    """A store did not finish before the caller's deadline."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`"; did you mean 'delta'?"` for the known name closest to `name`, or an empty string if none is close."""
    nearest = get_close_matches(name, list(known), n=1)
    return f"; did you mean {nearest[0]!r}?" if nearest else ""
