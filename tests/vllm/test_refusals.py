"""Wrong and dangerous settings end the start, with the flag that mends them."""

import pytest
from vllm.engine.arg_utils import EngineArgs

from gainful.errors import ConfigError
from gainful_vllm import MODULE, SCHEDULER
from gainful_vllm.options import ConnectorOptions, read_options, read_params
from gainful_vllm.refusals import check_engine, choose_mode


@pytest.fixture
def config(model_folder, transfer_config):
    """`config(transfer={...}, ...)`: vLLM's configuration for the tiny model."""

    def make(transfer=None, **settings):
        chosen = {"enable_prefix_caching": True, "block_size": 32, **settings}
        return EngineArgs(
            model=str(model_folder),
            max_model_len=512,
            dtype="float32",
            enforce_eager=True,
            kv_transfer_config={**transfer_config(), **(transfer or {})},
            **chosen,
        ).create_engine_config()

    return make


def test_defaults_are_accepted_and_auto_means_two_pointer_with_our_scheduler(config):
    options = ConnectorOptions(store="memory://")
    check_engine(config(), options)
    assert choose_mode(config(scheduler_cls=SCHEDULER), options) == "two_pointer"
    assert choose_mode(config(), options) == "async_prefix"
    assert choose_mode(config(scheduler_cls=SCHEDULER, enable_prefix_caching=False), options) == "async_prefix"


@pytest.mark.parametrize("policy", ["fail", None])
def test_the_failure_policy_must_be_recompute(config, policy):
    transfer = {"kv_load_failure_policy": policy} if policy else {}
    made = config(transfer)
    if policy is None:
        made.kv_transfer_config.kv_load_failure_policy = "fail"  # vLLM's own default
    with pytest.raises(ConfigError, match="kv_load_failure_policy is 'fail', must be 'recompute'; set it in"):
        check_engine(made, ConnectorOptions(store="memory://"))


def test_one_sided_roles_are_refused(config):
    with pytest.raises(ConfigError, match="kv_role is 'kv_producer', must be 'kv_both'"):
        check_engine(config({"kv_role": "kv_producer"}), ConnectorOptions(store="memory://"))


def test_two_pointers_without_the_scheduler_class_name_the_flag(config):
    options = ConnectorOptions(store="memory://", mode="two_pointer")
    with pytest.raises(ConfigError, match=f"--scheduler-cls {SCHEDULER}"):
        choose_mode(config(), options)


def test_two_pointers_without_prefix_caching_name_the_flag(config):
    options = ConnectorOptions(store="memory://", mode="two_pointer")
    with pytest.raises(ConfigError, match="--enable-prefix-caching"):
        choose_mode(config(scheduler_cls=SCHEDULER, enable_prefix_caching=False), options)


def test_a_hash_that_can_be_made_to_collide_is_refused(config):
    made = config()
    made.cache_config.prefix_caching_hash_algo = "xxhash"
    with pytest.raises(ConfigError, match="leave it at sha256"):
        check_engine(made, ConnectorOptions(store="memory://"))


def test_a_lossy_codec_beside_the_prefix_cache_must_be_allowed(config):
    with pytest.raises(ConfigError, match="set allow_lossy_reuse to true"):
        check_engine(config(), ConnectorOptions(store="memory://", codec="int8"))
    check_engine(config(), ConnectorOptions(store="memory://", codec="int8", allow_lossy_reuse=True))
    check_engine(config(enable_prefix_caching=False), ConnectorOptions(store="memory://", codec="int8"))


class TestOptions:
    def test_an_unknown_option_names_the_nearest(self):
        with pytest.raises(ConfigError, match="unknown option 'chunk_block' .* did you mean 'chunk_blocks'"):
            read_options({"store": "memory://", "chunk_block": 2})

    def test_a_store_is_needed(self):
        with pytest.raises(ConfigError, match="kv_connector_extra_config.store"):
            read_options({})

    @pytest.mark.parametrize(
        "wrong", [{"chunk_blocks": 0}, {"mode": "warp"}, {"load_seconds": 0}, {"stall_seconds": float("inf")}]
    )
    def test_impossible_values_are_refused(self, wrong):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            read_options({"store": "memory://", **wrong})

    def test_a_shared_store_needs_a_salt(self):
        with pytest.raises(ConfigError, match="tenant_salt_variable"):
            read_options({"store": "redis://cache", "shared": True})

    def test_parameters_of_other_connectors_are_not_ours(self):
        assert read_params({"do_remote_prefill": True}).mode is None
        assert read_params(None).save is None
        assert read_params({"sparkv": {"mode": "compute"}}).mode == "compute"


def test_an_engine_with_a_wrong_option_does_not_start(open_engine, transfer_config):
    transfer = {**transfer_config(codex="raw"), "kv_connector_module_path": MODULE}
    with pytest.raises(Exception, match="unknown option 'codex'"), open_engine(kv_transfer_config=transfer):
        pass
