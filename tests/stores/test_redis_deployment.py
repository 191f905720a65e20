"""The settings that recipes/sparkv_two_machines deploys: TLS, and a user that may do no more than the store does."""

from pathlib import Path

import pytest

from gainful.errors import StoreError
from gainful.sparkv.stores import open_store
from gainful.testing import check_store

from .conftest import free_port, needed, redis_server, serving

SECONDS = 20.0
KEY, OTHER = "5a" * 32, "a5" * 32
FOLDERS = [str(Path(__file__).parents[2] / "recipes" / part) for part in ("sparkv_two_machines", "")]


@pytest.fixture(scope="module")
def deployed(tmp_path_factory):
    """A URL whose password comes from the environment, of a server with the recipe's settings."""
    program = needed("redis-server", "redis-server")
    folder, port = tmp_path_factory.mktemp("deployed"), free_port()
    with pytest.MonkeyPatch.context() as patch:
        for part in FOLDERS:
            patch.syspath_prepend(part)
        import redis_pair

        passwords = redis_pair.new_passwords()
        redis_pair.make_certificate(folder, ["127.0.0.1"])
        lines = redis_pair.base_settings(folder, passwords)
        (folder / "redis.conf").write_text("\n".join(lines))
        patch.setenv("KV_PASSWORD", passwords["kv"])
        with serving(port, program, str(folder / "redis.conf"), "--tls-port", str(port), "--bind", "127.0.0.1"):
            yield f"rediss://kv:${{KV_PASSWORD}}@127.0.0.1:{port}/0?ssl_ca_certs={folder / 'cert.pem'}"


def test_these_rights_are_enough_for_the_whole_contract_over_tls(deployed):
    check_store(lambda: open_store(deployed))


def test_other_keys_are_out_of_reach(deployed):
    with open_store(deployed, {"prefix": "elsewhere"}) as store, pytest.raises(StoreError, match="permission"):
        store.put(KEY, [b"data"], max_seconds=SECONDS)


def test_a_wrong_password_and_a_name_that_the_certificate_does_not_have_are_refused(deployed, monkeypatch):
    with open_store(deployed.replace("127.0.0.1", "localhost")) as store, pytest.raises(StoreError, match="(?i)certif"):
        store.stat(max_seconds=SECONDS)
    with open_store(deployed.partition("?")[0]) as store, pytest.raises(StoreError, match="(?i)certif"):
        store.stat(max_seconds=SECONDS)
    monkeypatch.setenv("KV_PASSWORD", "hunter2")
    with open_store(deployed) as store, pytest.raises(StoreError, match="(?i)password") as refused:
        store.stat(max_seconds=SECONDS)
    assert "hunter2" not in str(refused.value)


def test_a_replica_is_read_refuses_what_is_written_and_takes_it_once_it_is_promoted():
    """Without a restart of the client, and whether or not it reaches its primary, which is away here."""
    import redis

    port = free_port()
    with redis_server(port), open_store(f"redis://127.0.0.1:{port}/0") as store:
        admin = redis.Redis(port=port)
        store.put(KEY, [b"data"], max_seconds=SECONDS)
        admin.execute_command("REPLICAOF", "127.0.0.1", free_port())
        with store.acquire([KEY], max_seconds=SECONDS) as lease:
            assert bytes(store.read(lease, KEY, max_seconds=SECONDS)) == b"data"
        with pytest.raises(StoreError, match="(?i)read only replica"):
            store.put(OTHER, [b"data"], max_seconds=SECONDS)
        admin.execute_command("REPLICAOF", "NO", "ONE")
        assert store.put(OTHER, [b"data"], max_seconds=SECONDS)
        admin.close()
