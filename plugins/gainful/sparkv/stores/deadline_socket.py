"""A socket for clients that know timeouts only: however slowly a peer drips, all waits together end at one deadline."""

from typing import Any

from gainful.sparkv.stores.deadline import Deadline

__all__ = ["DeadlineSocket", "with_deadline_socket"]


class DeadlineSocket:
    """Passes everything on to a socket, after giving it the seconds that are left."""

    def __init__(self, inner: Any, deadline: Deadline | None) -> None:
        self.inner = inner
        self.deadline = deadline

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def recv(self, *arguments: Any) -> Any:
        """As the socket's."""
        return self._armed().recv(*arguments)

    def recv_into(self, *arguments: Any) -> Any:
        """As the socket's."""
        return self._armed().recv_into(*arguments)

    def sendall(self, *arguments: Any) -> Any:
        """As the socket's, whose timeout is for all of the data."""
        return self._armed().sendall(*arguments)

    def settimeout(self, seconds: float | None) -> None:
        """Ignored: the deadline decides."""

    def _armed(self) -> Any:
        if self.deadline is not None:
            if not self.deadline.remaining():
                raise TimeoutError("the deadline has passed")
            self.inner.settimeout(self.deadline.remaining() or 1e-3)
        return self.inner


def with_deadline_socket(connection_class: Any) -> Any:
    """A connection class of redis-py whose connections have `set_deadline`, to be called before each use."""

    class DeadlineConnection(connection_class):  # type: ignore[misc]
        """Reads, writes, connects and greets within the deadline; only the look-up of a name cannot be interrupted."""

        _deadline: Deadline | None = None

        def set_deadline(self, deadline: Deadline) -> None:
            """For everything until the next call."""
            self._deadline = deadline
            self.socket_connect_timeout = self.socket_timeout = deadline.remaining()
            if isinstance(self._sock, DeadlineSocket):
                self._sock.deadline = deadline

        def _connect(self) -> DeadlineSocket:
            return DeadlineSocket(super()._connect(), self._deadline)

    return DeadlineConnection
