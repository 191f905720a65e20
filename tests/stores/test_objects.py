import socket
import traceback

import pytest

from gainful.errors import StoreError, StoreTimeoutError
from gainful.sparkv.stores import Miss, open_store
from gainful.sparkv.stores.file import FileStore
from gainful.testing import check_store

SECONDS = 20.0
KEYS = [f"{number:064x}" for number in range(20)]


def test_s3_keeps_the_contract(s3_options):
    check_store(lambda: open_store("s3://kv-chunks/contract", s3_options))


def test_large_entries_are_written_in_parts(s3_options):
    data = bytes(range(256)) * 70_000  # 17.9 MB: three parts of 8 MiB
    with open_store("s3://kv-chunks/large", s3_options) as store:
        assert store.put(KEYS[0], [data[:100], data[100:9_000_000], data[9_000_000:]], max_seconds=60)
        with store.acquire([KEYS[0]], max_seconds=SECONDS) as lease:
            assert bytes(store.read(lease, KEYS[0], max_seconds=60)) == data
            assert (
                bytes(store.read(lease, KEYS[0], (8_388_600, 8_388_620), max_seconds=60)) == data[8_388_600:8_388_620]
            )


def test_an_object_that_is_gone_is_a_miss(s3_options):
    with open_store("s3://kv-chunks/gone", s3_options) as store:
        store.put(KEYS[0], [b"data"], max_seconds=SECONDS)
        with store.acquire([KEYS[0]], max_seconds=SECONDS) as lease:
            store.discard(KEYS[0], max_seconds=SECONDS)
            assert store.read(lease, KEYS[0], max_seconds=SECONDS) == Miss(KEYS[0])


def test_a_folder_of_files_behind_nginx_keeps_the_contract_read_only(nginx):
    folder, url = nginx
    with FileStore(folder) as files:
        check_store(lambda: open_store(url), put_outside=lambda key, data: files.put(key, [data], max_seconds=SECONDS))


def test_what_a_file_store_evicts_is_a_miss_over_http(nginx):
    folder, url = nginx
    with FileStore(folder) as files, open_store(url) as store:
        files.put(KEYS[0], [b"data"], max_seconds=SECONDS)
        with store.acquire(KEYS[:2], max_seconds=SECONDS) as lease:
            assert lease.keys == (KEYS[0],)
            files.evict(0, max_seconds=SECONDS)
            assert store.read(lease, KEYS[0], max_seconds=SECONDS) == Miss(KEYS[0])
        with pytest.raises(StoreError, match="read-only"):
            store.put(KEYS[1], [b"data"], max_seconds=SECONDS)


def test_a_server_that_says_nothing_holds_no_call_beyond_its_deadline():
    late = pytest.raises(StoreTimeoutError, match="not done within 0.3 s")
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        with open_store(url) as store, late:
            store.acquire(KEYS, max_seconds=0.3)


def test_nobody_there_and_no_such_bucket_are_errors(s3_options):
    with open_store("s3://nosuch/x", s3_options) as store, pytest.raises(StoreError) as error:
        store.put(KEYS[0], [b"data"], max_seconds=SECONDS)
    assert "hunter2" not in "".join(traceback.format_exception(error.value))
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with open_store(f"http://127.0.0.1:{port}", {"max_retries": 0}) as store, pytest.raises(StoreError):
        store.acquire([KEYS[0]], max_seconds=SECONDS)
