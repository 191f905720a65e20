"""A real redis-server that is killed and comes back, with empty hands or with what it had written down."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

__all__ = ["Server"]

START_SECONDS = 20.0


class Server:
    """One port; process after process behind it."""

    def __init__(self, folder: Path, keeps: bool) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self._folder, self._keeps = folder, keeps
        self._folder.mkdir()
        self._timer: threading.Timer | None = None
        self._start()
        self.wait()

    @property
    def url(self) -> str:
        """For `open_store`."""
        return f"redis://127.0.0.1:{self.port}/0"

    def _start(self) -> None:
        program = shutil.which("redis-server")
        if program is None:
            sys.exit("redis-server is not installed: make store-servers")
        command = [program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self._folder)]
        command += ["--appendonly", "yes", "--appendfsync", "always"] if self._keeps else ["--appendonly", "no"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def bounce(self, down_s: float) -> None:
        """SIGKILL now, and another process after a while."""
        self.wait()
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._timer = threading.Timer(down_s, self._start)
        self._timer.start()

    def wait(self) -> None:
        """Until it answers."""
        if self._timer is not None:
            self._timer.join()
        for _ in range(int(START_SECONDS / 0.01)):
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1.0) as connection:
                    connection.sendall(b"PING\r\n")
                    if connection.recv(64).startswith(b"+PONG"):
                        return
            except OSError:
                pass
            time.sleep(0.01)
        raise RuntimeError(f"redis-server does not answer on port {self.port}")

    def close(self) -> None:
        """End it."""
        self.wait()
        self._process.kill()
        self._process.wait()
