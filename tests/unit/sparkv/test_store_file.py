"""Files: killed writers, several processes, full disks."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gainful.errors import IntegrityError, StoreError, StoreFullError, StoreTimeoutError
from gainful.sparkv.stores.file import FileOptions, FileStore

SECONDS = 20.0


def key(number):
    return hashlib.sha256(str(number).encode()).hexdigest()


def data_of(name, num_bytes=300_000):
    return (name.encode() * (num_bytes // 64 + 1))[:num_bytes]


WRITER = """
import sys
from gainful.sparkv.stores.file import FileStore, FileOptions
import hashlib
folder, first, step = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
store = FileStore(folder, FileOptions(capacity_bytes=20_000_000))
print("ready", flush=True)
for number in range(first, 10**9, step):
    name = hashlib.sha256(str(number % 40).encode()).hexdigest()
    data = (name.encode() * 4689)[:300_000]
    store.discard(name, max_seconds=20.0) if number % 3 == 0 else None
    store.put(name, [data[i : i + 50_000] for i in range(0, 300_000, 50_000)], max_seconds=20.0)
"""


def writer(folder, first=0, step=1):
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder), str(first), str(step)], stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"ready\n"
    return process


def wrong_entries(folder):
    """Names of entries that can be read and are not what their key stands for."""
    names = [path.name for path in Path(folder).glob("[0-9a-f][0-9a-f]/*")]
    with FileStore(folder) as store:
        wrong = []
        for name in names:
            with store.acquire([name], max_seconds=SECONDS) as lease:
                if len(lease) and bytes(store.read(lease, name, max_seconds=SECONDS)) != data_of(name):
                    wrong.append(name)
        return wrong


def test_writers_killed_at_random_leave_nothing_wrong_and_nothing_behind(tmp_path):
    draw = random.Random(0)  # noqa: S311
    seen = 0
    for _ in range(12):
        process = writer(tmp_path)
        time.sleep(draw.uniform(0.0, 0.08))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        assert wrong_entries(tmp_path) == []
        assert list((tmp_path / ".incoming").iterdir()) == []
        seen += len(list(tmp_path.glob("[0-9a-f][0-9a-f]/*")))
    assert seen > 12  # they did write


def test_two_processes_on_the_same_keys_give_right_bytes_to_a_third(tmp_path):
    processes = [writer(tmp_path, 0), writer(tmp_path, 1)]
    names = [key(number) for number in range(40)]
    reads = 0
    with FileStore(tmp_path) as store:
        while reads < 200:
            for name in names:
                with store.acquire([name], max_seconds=SECONDS) as lease:
                    if len(lease):
                        assert bytes(store.read(lease, name, max_seconds=SECONDS)) == data_of(name)
                        reads += 1
    for process in processes:
        assert process.poll() is None
        process.kill()
        process.wait()
        process.stdout.close()
    assert wrong_entries(tmp_path) == []


def test_what_another_process_leases_is_not_evicted(tmp_path):
    with FileStore(tmp_path) as store:
        for number in range(3):
            store.put(key(number), [data_of(key(number))], max_seconds=SECONDS)
    code = (
        "import sys; from gainful.sparkv.stores.file import FileStore; s = FileStore(sys.argv[1]);"
        "lease = s.acquire([sys.argv[2]], max_seconds=9.0); print(len(lease), flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(tmp_path), key(1)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"1\n"
    with FileStore(tmp_path) as store:
        assert store.evict(0, max_seconds=SECONDS) == 600_000
        assert store.stat(max_seconds=SECONDS).num_entries == 1
        process.kill()  # its lease dies with it
        process.communicate()
        assert store.evict(0, max_seconds=SECONDS) == 300_000


def test_the_capacity_holds_for_all_processes_together(tmp_path):
    options = FileOptions(capacity_bytes=1_000_000)
    one, two = FileStore(tmp_path, options), FileStore(tmp_path, options)
    for number in range(12):
        (one, two)[number % 2].put(key(number), [bytes(300_000)], max_seconds=SECONDS)
        assert one.stat(max_seconds=SECONDS).num_bytes <= 1_000_000
    assert len(one.acquire([key(11)], max_seconds=SECONDS)) == 1


def test_a_full_store_says_so_and_loses_nothing(tmp_path):
    store = FileStore(tmp_path, FileOptions(capacity_bytes=700_000))
    names = [key(0), key(1)]
    for name in names:
        store.put(name, [data_of(name)], max_seconds=SECONDS)
    full = pytest.raises(StoreFullError, match="leased or being written 600000; raise capacity_bytes")
    with store.acquire(names, max_seconds=SECONDS), full:
        store.put(key(2), [bytes(200_000)], max_seconds=SECONDS)
    with pytest.raises(StoreFullError):
        store.put(key(2), [bytes(700_001)], max_seconds=SECONDS)
    assert store.put(key(2), [bytes(200_000)], max_seconds=SECONDS)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 2 MiB of its own, where one can be mounted."""
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(tmp_path)], capture_output=True)
    if done.returncode:
        pytest.skip(
            f"no tmpfs can be mounted here ({done.stderr.decode().strip()}); an injected ENOSPC is tested instead"
        )
    yield tmp_path
    subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


def test_a_full_disk_refuses_and_keeps_what_is_there(small_disk):
    with FileStore(small_disk) as store:
        assert store.put(key(0), [data_of(key(0), 1_000_000)], max_seconds=SECONDS)
        with pytest.raises(StoreFullError, match="No space left"):
            store.put(key(1), [bytes(1_500_000)], max_seconds=SECONDS)
        assert list((small_disk / ".incoming").iterdir()) == []
        with store.acquire([key(0), key(1)], max_seconds=SECONDS) as lease:
            assert lease.keys == (key(0),)
            assert bytes(store.read(lease, key(0), max_seconds=SECONDS)) == data_of(key(0), 1_000_000)
        assert store.put(key(2), [bytes(500_000)], max_seconds=SECONDS)


@pytest.mark.parametrize("call", ["write", "fsync", "rename", "posix_fallocate"])
def test_a_failing_disk_leaves_no_entry_and_frees_the_room(tmp_path, monkeypatch, call):
    store = FileStore(tmp_path, FileOptions(capacity_bytes=500_000))

    def fail(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(f"gainful.sparkv.stores.file.os.{call}", fail)
        for _ in range(3):
            with pytest.raises(StoreFullError, match="put: No space left on device"):
                store.put(key(0), [bytes(300_000)], max_seconds=SECONDS)
    assert len(store.acquire([key(0)], max_seconds=SECONDS)) == 0
    assert list((tmp_path / ".incoming").iterdir()) == []
    assert store.put(key(0), [bytes(300_000)], max_seconds=SECONDS)


def test_a_truncated_entry_is_an_integrity_error_and_can_be_replaced(tmp_path):
    store = FileStore(tmp_path)
    store.put(key(0), [data_of(key(0))], max_seconds=SECONDS)
    with store.acquire([key(0)], max_seconds=SECONDS) as lease:
        os.truncate(tmp_path / key(0)[:2] / key(0), 100)
        with pytest.raises(IntegrityError, match="asked for 300000 bytes, got 100"):
            store.read(lease, key(0), max_seconds=SECONDS)
    store.discard(key(0), max_seconds=SECONDS)
    assert store.put(key(0), [data_of(key(0))], max_seconds=SECONDS)


def test_a_lock_that_is_held_ends_in_a_timeout(tmp_path):
    one, two = FileStore(tmp_path), FileStore(tmp_path)
    from gainful.sparkv.stores import Deadline

    with one._folder.lock.held(Deadline.after(5.0)):
        for store in (one, two):  # another thread's, another process's
            with pytest.raises(StoreTimeoutError, match="within 0.05 s"):
                store.put(key(0), [b"data"], max_seconds=0.05)
    assert two.put(key(0), [b"data"], max_seconds=SECONDS)


def test_links_are_not_followed_and_the_folder_is_private(tmp_path):
    store = FileStore(tmp_path / "kv")
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    shard = tmp_path / "kv" / key(0)[:2]
    shard.mkdir()
    (shard / key(0)).symlink_to(secret)
    with pytest.raises(StoreError, match="acquire"):
        store.acquire([key(0)], max_seconds=SECONDS)
    assert (tmp_path / "kv").stat().st_mode & 0o777 == 0o700
    store.put(key(1), [b"data"], max_seconds=SECONDS)
    assert (tmp_path / "kv" / key(1)[:2] / key(1)).stat().st_mode & 0o777 == 0o600


def test_a_folder_that_cannot_be_used_says_why(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="open: "):
        FileStore(tmp_path / "file")


def test_a_lease_outlives_its_store_and_closes_its_files(tmp_path):
    before = len(os.listdir("/proc/self/fd"))
    store = FileStore(tmp_path)
    store.put(key(0), [b"data"], max_seconds=SECONDS)
    lease = store.acquire([key(0)], max_seconds=SECONDS)
    store.close()
    lease.release()
    assert len(os.listdir("/proc/self/fd")) == before
