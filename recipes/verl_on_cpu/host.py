"""The private names of verl that this package relies on; `require` is called where each of them is used.

When verl moves one of them, the error says which one it was and what it was for.
"""

CHECKED_VERSION = "0.9.1"


class HostMovedError(ImportError):
    """A name of verl is no longer where this package expects it."""


def require(owner: object, name: str, *, used_for: str) -> None:
    """Check that `owner` still has `name`.

    Args:
        owner: A module or class of verl.
        name: A private name in it.
        used_for: What is lost without it; ends up in the message.

    Raises:
        HostMovedError: It has not.
    """
    if not hasattr(owner, name):
        raise HostMovedError(
            f"verl_on_cpu: expected {owner.__name__}.{name} in verl, used for {used_for}, found none; "
            f"this recipe was checked with verl {CHECKED_VERSION}, install that version"
        )
