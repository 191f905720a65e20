import socket
import threading
import time
import traceback
from contextlib import contextmanager

import pytest

from gainful.errors import StoreError, StoreFullError, StoreTimeoutError
from gainful.sparkv.stores import Lease, Miss, open_store
from gainful.testing import check_store

from .conftest import free_port, redis_server

SECONDS = 20.0
KEYS = [f"{number:064x}" for number in range(40)]


def test_redis_keeps_the_contract(redis_url):
    check_store(lambda: open_store(redis_url, {"prefix": "contract"}))


def test_entries_expire_as_asked_and_are_a_miss_then(redis_url):
    with open_store(redis_url, {"prefix": "ttl", "ttl_seconds": 1}) as store:
        store.put(KEYS[0], [b"data"], max_seconds=SECONDS)
        with store.acquire([KEYS[0]], max_seconds=SECONDS) as lease:
            assert bytes(store.read(lease, KEYS[0], max_seconds=SECONDS)) == b"data"
            time.sleep(1.2)
            assert store.read(lease, KEYS[0], max_seconds=SECONDS) == Miss(KEYS[0])
            assert list(store.stream(lease, [(KEYS[0], (1, 2))], max_seconds=SECONDS)) == [(KEYS[0], Miss(KEYS[0]))]
            assert store.stat(max_seconds=SECONDS).num_misses == 2


def test_a_replaced_entry_of_another_size_is_refused(redis_url):
    with open_store(redis_url, {"prefix": "swap"}) as store:
        store.put(KEYS[0], [bytes(100)], max_seconds=SECONDS)
        with store.acquire([KEYS[0]], max_seconds=SECONDS) as lease:
            store.discard(KEYS[0], max_seconds=SECONDS)
            store.put(KEYS[0], [bytes(50)], max_seconds=SECONDS)
            with pytest.raises(StoreError, match="asked for 100 bytes, got 50"):
                store.read(lease, KEYS[0], max_seconds=SECONDS)
            # longer is no danger either: never more comes back than was asked for
            store.discard(KEYS[0], max_seconds=SECONDS)
            store.put(KEYS[0], [bytes(10_000)], max_seconds=SECONDS)
            assert len(store.read(lease, KEYS[0], max_seconds=SECONDS)) == 100


def test_a_server_without_room_says_so():
    port = free_port()
    settings = ("--maxmemory", "3mb", "--maxmemory-policy", "noeviction")
    with redis_server(port, *settings), open_store(f"redis://127.0.0.1:{port}") as store:

        def fill():
            for key in KEYS:
                store.put(key, [bytes(200_000)], max_seconds=SECONDS)

        with pytest.raises(StoreFullError, match="maxmemory"):
            fill()
        assert len(store.acquire([KEYS[0]], max_seconds=SECONDS)) == 1


def test_a_server_that_is_killed_and_comes_back_is_found_again():
    port = free_port()
    with redis_server(port):
        store = open_store(f"redis://127.0.0.1:{port}")
        store.put(KEYS[0], [b"data"], max_seconds=SECONDS)
        lease = store.acquire([KEYS[0]], max_seconds=SECONDS)
    with pytest.raises(StoreError, match=f"redis://127.0.0.1:{port}"):
        store.read(lease, KEYS[0], max_seconds=SECONDS)
    with redis_server(port):
        assert store.read(lease, KEYS[0], max_seconds=SECONDS) == Miss(KEYS[0])
        assert store.put(KEYS[0], [b"data"], max_seconds=SECONDS)
        assert bytes(store.read(lease, KEYS[0], max_seconds=SECONDS)) == b"data"


def test_a_server_that_restarts_between_two_calls_is_not_noticed():
    port = free_port()
    with redis_server(port):
        store = open_store(f"redis://127.0.0.1:{port}")
        store.put(KEYS[0], [b"data"], max_seconds=SECONDS)
    with redis_server(port):
        assert store.put(KEYS[0], [b"data"], max_seconds=SECONDS)


def test_a_restarted_server_is_not_noticed_however_many_connections_were_kept():
    port = free_port()
    with redis_server(port):
        store = open_store(f"redis://127.0.0.1:{port}")
        store.put(KEYS[0], [b"data"], max_seconds=SECONDS)
        with store.acquire(KEYS[:1], max_seconds=SECONDS) as lease:
            streams = [store.stream(lease, [(KEYS[0], None)] * 2, max_seconds=SECONDS) for _ in range(5)]
            for stream in streams:  # each holds a connection
                next(stream)
            for stream in streams:
                assert len(list(stream)) == 1
        assert len(store._idle) == 5
    with redis_server(port):
        assert store.put(KEYS[0], [b"data"], max_seconds=SECONDS)


def test_broken_connections_never_use_up_the_number_that_may_be_made():
    store = open_store(f"redis://127.0.0.1:{free_port()}")
    for _ in range(300):  # the client's own pool counts all it has ever made, up to 100
        with pytest.raises(StoreError, match="refused"):
            store.acquire(KEYS[:1], max_seconds=SECONDS)


@contextmanager
def dripping(answer=b"", every_seconds=0.01):
    """A peer that takes everything and answers a byte at a time."""
    server = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def drip():
        peer, _ = server.accept()
        with peer:
            for byte in answer * 100_000:
                if stop.wait(every_seconds):
                    return
                try:
                    peer.send(bytes([byte]))
                except OSError:
                    return
            stop.wait(SECONDS)

    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    yield server.getsockname()[1]
    stop.set()
    server.close()
    thread.join(SECONDS)


@pytest.mark.parametrize("answer", [b"", b"$1000000\r\nxxxxxxxxxxxxxxxx", b"+"])
def test_no_peer_however_slow_holds_a_call_beyond_its_deadline(answer):
    late = pytest.raises(StoreTimeoutError, match="no answer within 0.3 s")
    with dripping(answer) as port, open_store(f"redis://127.0.0.1:{port}") as store, late:
        store.acquire(KEYS, max_seconds=0.3)


def test_answers_that_are_no_redis_are_errors():
    with dripping(b"HTTP/1.1 400 Bad Request\r\n", 0.0) as port:
        store = open_store(f"redis://127.0.0.1:{port}")
        with pytest.raises(StoreError):
            store.acquire(KEYS, max_seconds=5.0)
        store.close()


@pytest.mark.parametrize("options", [{}, {"username": "nobody"}])
def test_refused_passwords_are_not_shown(redis_url, options):
    url = redis_url.replace("hunter2", "hunter3")
    with open_store(url, options) as store, pytest.raises(StoreError) as error:
        store.acquire([KEYS[0]], max_seconds=SECONDS)
    assert "hunter" not in "".join(traceback.format_exception(error.value))


def test_a_password_may_come_as_an_option(redis_url):
    options = {"password": "hunter2", "prefix": "option"}
    with open_store(redis_url.replace(":hunter2@", ""), options) as store:
        assert store.put(KEYS[0], [b"data"], max_seconds=SECONDS)
    assert "hunter2" not in repr(options | {"password": store._options.password})


def test_a_stream_pays_the_round_trip_once(redis_url):
    """All requests are on their way before the first answer is read: the peer sees them without answering any."""
    seen = threading.Event()
    server = socket.create_server(("127.0.0.1", 0))

    def hold():
        peer, _ = server.accept()
        received = b""
        while received.count(b"GETRANGE") < 10:
            received += peer.recv(65536)
        peer.sendall(b"$4\r\ndata\r\n" * 10)
        seen.set()
        peer.recv(1)

    thread = threading.Thread(target=hold, daemon=True)
    thread.start()
    with open_store(f"redis://127.0.0.1:{server.getsockname()[1]}") as store:
        # greetings of the client library would be counted by the peer, so the connection is opened by hand
        lease = Lease(0, KEYS[:10], [4] * 10, [None] * 10, lambda handle: None)
        connection = store._pool.make_connection()
        connection.lib_name = connection.lib_version = connection.client_name = None
        connection.driver_info = None
        store._idle.append(connection)
        found = list(store.stream(lease, [(key, None) for key in KEYS[:10]], max_seconds=SECONDS))
    assert seen.wait(SECONDS)
    assert [bytes(data) for _, data in found] == [b"data"] * 10
    server.close()
