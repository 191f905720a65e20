"""Our stores keep the contract, and the contract suite notices what does not."""

import sys
import traceback
from subprocess import run

import pytest

from gainful.catalog import build_catalog, catalog
from gainful.config import Options
from gainful.errors import ConfigError, MissingExtraError, StoreFullError, UnknownNameError
from gainful.hookspecs import hookimpl
from gainful.sparkv.stores import Miss, Store, open_store, redacted
from gainful.sparkv.stores.memory import MemoryOptions, MemoryStore
from gainful.testing import check_store


def test_memory_keeps_the_contract():
    check_store(lambda: open_store("memory://"))


def test_files_keep_the_contract(tmp_path):
    check_store(lambda: open_store(f"file://{tmp_path}/kv"))


class Broken(MemoryStore):
    """A memory store with something wrong about it."""


def broken(name, method):
    return type(name, (Broken,), method)


def lose_a_byte(self, handle, key, begin, end, deadline):
    return memoryview(handle[1])[begin : max(begin, end - 1)]


BROKEN = {
    "bytes came back changed": {"_fetch": lambda self, handle, *_: bytes(_[2] - _[1])},
    "asked for .* bytes": {"_fetch": lose_a_byte},
    "the second put returned": {"_write": lambda self, *a: MemoryStore._write(self, *a) or True},
    "it is still there": {"_remove": lambda self, key, deadline: None},
    "what is leased must stay": {"_forget": lambda self, handle: self._shelf.num_leases.pop(handle[0], None)},
    "another than the oldest": {"_evict": lambda self, n, d: newest_first(self, n)},
    "what is not leased must go": {"_evict": lambda self, n, d: 0},
    "changed with the caller's buffer": {"_write": lambda self, *a: keep_a_view(self, *a)},
    "must raise StoreTimeoutError": {"_begin": lambda self, doing, s: Store._begin(self, doing, max(s, 1.0))},
}


def newest_first(store, target_bytes):
    for key in reversed(list(store._shelf.entries)):
        store._shelf.entries.move_to_end(key)
    return store._shelf.make_room(target_bytes)


def keep_a_view(store, key, parts, num_bytes, deadline):
    written = MemoryStore._write(store, key, parts, num_bytes, deadline)
    if written and len(parts) == 1:
        store._shelf.entries[key] = parts[0]
    return written


@pytest.mark.parametrize("clause", BROKEN)
def test_contract_suite_notices(clause):
    with pytest.raises((AssertionError, OSError), match=clause):
        check_store(broken("Broken", BROKEN[clause]))


def test_a_third_partys_store_comes_in_by_its_scheme(monkeypatch):
    class AcmeOptions(Options):
        shelf: str = "a"

    class AcmePlugin:
        @hookimpl
        def register_stores(self, register):
            register("acme", lambda url, options: MemoryStore(url + options.shelf), config=AcmeOptions)

    found = build_catalog([AcmePlugin()])
    monkeypatch.setattr("gainful.catalog.catalog", lambda: found)
    assert not found.failures
    check_store(lambda: open_store("acme://", {"shelf": "b"}))
    with pytest.raises(ConfigError, match=r"unknown option 'shelv' for acme://.*did you mean 'shelf'"):
        open_store("acme://", {"shelv": "b"})


def test_all_schemes_are_in_the_catalogue_and_no_client_is_imported():
    assert list(catalog().stores) == ["file", "memory", "redis", "rediss", "s3", "gs", "az", "http", "https"]
    code = "import sys, gainful.catalog as c; c.catalog(); print(*{'redis', 'hiredis', 'obstore'} & set(sys.modules))"
    done = run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize(("url", "extra"), [("redis://h", "redis"), ("s3://b", "object-store")])
def test_a_missing_client_names_its_extra(monkeypatch, url, extra):
    for client in ("redis", "hiredis", "obstore"):
        monkeypatch.setitem(sys.modules, client, None)
    with pytest.raises(MissingExtraError, match=rf"gainful\[{extra}\]"):
        open_store(url)


def test_unknown_schemes_and_broken_urls_say_what_to_do():
    with pytest.raises(UnknownNameError, match="unknown store 'reddis'; did you mean 'redis'"):
        open_store("reddis://host")
    for url in ("/var/cache", "file:relative", ""):
        with pytest.raises(ConfigError, match="must begin with scheme://"):
            open_store(url)
    for url in ("file://", "file:///", "file://host/folder"):
        with pytest.raises(ConfigError, match="absolute folder"):
            open_store(url)


@pytest.mark.parametrize(
    "url",
    [
        "redis://user:hunter2@host:port/0",  # no port
        "rediss://:hunter2@[::1/0",  # no address
        "s3://key:hunter2@bucket/prefix",
        "https://host/path?sig=hunter2",
        "file://user:hunter2@host/folder",
        "nosuch://user:hunter2@host",
    ],
)
def test_no_message_repeats_a_secret(monkeypatch, url):
    try:
        open_store(url)
    except Exception as error:
        text = "".join(traceback.format_exception(error)) + repr(error.__context__)
        # the traceback shows this file's source, where the secret stands, but not the parameters
        assert "hunter2" not in text
    else:
        pytest.fail("was accepted")


def test_urls_are_shown_without_what_may_be_secret():
    assert redacted("rediss://me:pw@h:6380/0?password=x#y") == "rediss://***@h:6380/0"
    assert redacted("s3://bucket/prefix") == "s3://bucket/prefix"


@pytest.fixture
def opened(monkeypatch):
    """URLs that the factory of acme:// is given."""
    urls = []

    class AcmePlugin:
        @hookimpl
        def register_stores(self, register):
            register("acme", lambda url, options: urls.append(url) or MemoryStore(url))

    found = build_catalog([AcmePlugin()])
    monkeypatch.setattr("gainful.catalog.catalog", lambda: found)
    return urls


def test_user_and_password_may_come_from_the_environment(monkeypatch, opened):
    monkeypatch.setenv("KV_USER", "kv")
    monkeypatch.setenv("KV_PASSWORD", "p@ss/${HOME}")
    open_store("acme://${KV_USER}:${KV_PASSWORD}@h:1/0?a=${KV_USER}")
    open_store("acme://:a$b{c}@h")
    open_store("acme://")
    assert opened == ["acme://kv:p%40ss%2F%24%7BHOME%7D@h:1/0?a=${KV_USER}", "acme://:a$b{c}@h", "acme://"]


@pytest.mark.parametrize("value", [None, ""])
def test_a_variable_that_is_not_set_is_named_and_the_rest_of_the_user_part_is_not(monkeypatch, opened, value):
    monkeypatch.delenv("KV_PASSWORD", raising=False) if value is None else monkeypatch.setenv("KV_PASSWORD", value)
    with pytest.raises(ConfigError, match=r"^acme://\*\*\*@h: environment variable KV_PASSWORD is empty or not set"):
        open_store("acme://hunter2:${KV_PASSWORD}@h")


def test_memory_stores_of_one_name_share_entries_and_others_do_not():
    one, two, other = MemoryStore("a"), MemoryStore("a"), MemoryStore("")
    key = "ab" * 32
    one.put(key, [b"data"], max_seconds=1)
    assert len(two.acquire([key], max_seconds=1)) == 1
    assert len(other.acquire([key], max_seconds=1)) == 0


def test_a_full_memory_store_evicts_and_refuses_when_all_is_leased():
    store = MemoryStore("", MemoryOptions(capacity_bytes=2000))
    keys = [f"{i:064x}" for i in range(4)]
    for key in keys[:3]:
        store.put(key, [bytes(1000)], max_seconds=1)
    with store.acquire(keys[:3], max_seconds=1) as lease:
        assert lease.keys == tuple(keys[1:3])  # the first made room
        with pytest.raises(StoreFullError, match="capacity 2000, leased 2000"):
            store.put(keys[3], [bytes(1000)], max_seconds=1)
    with pytest.raises(StoreFullError):
        store.put(keys[3], [bytes(2001)], max_seconds=1)
    assert store.put(keys[3], [bytes(1000)], max_seconds=1)


def test_a_lease_released_while_it_is_read_ends_after_the_read():
    store = MemoryStore()
    key = "cd" * 32
    store.put(key, [b"data"], max_seconds=1)
    lease = store.acquire([key], max_seconds=1)
    with lease.using(key):
        lease.release()
        assert store.evict(0, max_seconds=1) == 0
    assert store.evict(0, max_seconds=1) == 4
    assert Miss(key) == Miss(key, "gone")
