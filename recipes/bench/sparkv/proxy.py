"""A TCP proxy with a rate and a delay towards its clients: stands in for a link where the kernel cannot shape one.

python proxy.py UPSTREAM_HOST UPSTREAM_PORT       prints its port; a line of standard input is `MBIT RTT_MS`
or empty, and is answered by the bytes that went to clients so far

Bytes from the store share one token bucket; what clients send is passed on at once. A rate of 0 is a dead link, and
the whole round trip lies on the way back.
"""

import asyncio
import sys

SLICE_BYTES = 16 << 10
QUEUED_SLICES = 64
"""Of a connection, beyond which the store has to wait, as behind a real queue."""
SLACK_SECONDS = 0.005
"""Lateness of the event loop that is caught up with."""


class Shaper:
    """Token bucket as a clock that says when the link is free again."""

    def __init__(self) -> None:
        self.bytes_per_second = float("inf")
        self.delay_s = 0.0
        self.num_bytes = 0
        self._free_s = 0.0
        self._changed = asyncio.Event()

    def set(self, mbit: float, rtt_ms: float) -> None:
        """Mbit/s and milliseconds from now on; a slice that has begun keeps its rate."""
        self.bytes_per_second, self.delay_s = mbit * 1e6 / 8, rtt_ms / 1000
        self._changed.set()

    async def pass_through(self, num_bytes: int) -> None:
        """Return when so many bytes are through."""
        while not self.bytes_per_second:
            self._changed.clear()
            await self._changed.wait()
        now = asyncio.get_running_loop().time()
        self._free_s = max(self._free_s, now - SLACK_SECONDS) + num_bytes / self.bytes_per_second
        if self._free_s > now:
            await asyncio.sleep(self._free_s - now)
        self.num_bytes += num_bytes


async def serve(host: str, port: int, shaper: Shaper) -> asyncio.Server:
    """Listen on a free port of the loopback."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            below, above = await asyncio.open_connection(host, port)
            await asyncio.gather(_copy(reader, above), _shaped(below, writer, shaper))
        except OSError:  # either side has gone; the other one sees its connection end
            pass
        finally:
            writer.close()

    return await asyncio.start_server(connected, "127.0.0.1", 0)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 20):
        writer.write(data)
        await writer.drain()
    writer.close()


async def _shaped(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, shaper: Shaper) -> None:
    queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(QUEUED_SLICES)
    sending = asyncio.create_task(_send(queue, writer, shaper))
    clock = asyncio.get_running_loop().time
    try:
        while data := await reader.read(SLICE_BYTES):
            await queue.put((clock() + shaper.delay_s, data))
        await queue.put((0.0, b""))
        await sending
    finally:
        sending.cancel()
        writer.close()


async def _send(queue: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter, shaper: Shaper) -> None:
    clock = asyncio.get_running_loop().time
    while True:
        due, data = await queue.get()
        if not data:
            return
        await asyncio.sleep(max(0.0, due - clock()))
        await shaper.pass_through(len(data))
        writer.write(data)
        await writer.drain()


async def main(host: str, port: int) -> None:
    shaper = Shaper()
    server = await serve(host, port, shaper)
    print(server.sockets[0].getsockname()[1], flush=True)
    orders = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    while line := await orders.readline():
        if line.strip():
            shaper.set(*map(float, line.split()))
        print(shaper.num_bytes, flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
