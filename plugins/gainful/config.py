"""Options: a mapping from a host's configuration becomes a frozen, fully checked model."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from gainful.errors import ConfigError, did_you_mean

__all__ = ["Options", "from_mapping"]


class Options(BaseModel):
    """Base of every option set: frozen, unknown keys refused, defaults checked, numbers finite."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        validate_default=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )


OptionsT = TypeVar("OptionsT", bound=Options)


def from_mapping(
    cls: type[OptionsT],
    section: Mapping[str, Any] | OptionsT | None,
    *,
    where: str,
    owner: str,
    also_known: Iterable[str] = (),
) -> OptionsT:
    """Read one section of a host's configuration.

    Args:
        cls: The option set to build.
        section: None (all defaults), a mapping with string keys, or a ready instance of `cls`.
        where: Where the section stands, for messages: `algorithm.gainful`.
        owner: What the options belong to, for messages: `agpo`.
        also_known: Keys of the section that somebody else reads, for the list in messages.

    Raises:
        ConfigError: A key is unknown or a value impossible; names the key, what was found and the nearest known key.
    """
    if isinstance(section, cls):
        return section
    if section is not None and not isinstance(section, Mapping):
        raise ConfigError(
            f"{where}: options for {owner} must be a mapping or {cls.__name__}, got {type(section).__name__}"
        )
    try:
        return cls.model_validate(dict(section or {}))
    except ValidationError as error:
        raise ConfigError(_explain(error, [*cls.model_fields, *also_known], where, owner)) from error


def _explain(error: ValidationError, known: list[str], where: str, owner: str) -> str:
    """One clause per problem, in the order pydantic found them."""
    clauses = []
    for problem in error.errors(include_url=False):
        key = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            hint = did_you_mean(key, known) or ";"
            clauses.append(f"{where}: unknown option {key!r} for {owner}{hint} known: {', '.join(known) or 'none'}")
        else:
            message = problem["msg"].removeprefix("Value error, ")
            path = f"{where}.{key}" if key else where
            clauses.append(f"{path}: {message[:1].lower()}{message[1:]} for {owner}, got {problem['input']!r}")
    return " | ".join(clauses)
