"""What cannot work stops before the first rollout, in verl's real main program."""

from dataclasses import replace

import pytest
from omegaconf import OmegaConf

from gainful.catalog import catalog
from gainful.errors import ConfigError, MissingInputError
from gainful_verl.preflight import check, check_run

MAIN = ("-m", "verl.trainer.main_ppo", "hydra.run.dir=.", "hydra.output_subdir=null")
DRY_RUN = ("-m", "gainful_verl.preflight")


def algorithm(**settings):
    return OmegaConf.create({"adv_estimator": "agpo", **settings})


@pytest.mark.parametrize("name", ["agpo", "nsr", "w_reinforce"])
def test_filtering_groups_is_refused_for_methods_that_learn_from_all_wrong_groups(name):
    with pytest.raises(ConfigError, match=r"set algorithm\.filter_groups\.enable=false"):
        check(algorithm(filter_groups={"enable": True}), catalog().advantage(name))


def test_filtering_groups_is_fine_where_all_wrong_groups_carry_nothing():
    check(algorithm(filter_groups={"enable": True}), catalog().advantage("psr"))


def test_a_penalty_in_the_reward_is_refused_for_mapped_rewards():
    with pytest.raises(
        ConfigError, match=r"use_kl_in_reward=false and, for a penalty, actor_rollout_ref\.actor\.use_kl_loss"
    ):
        check(algorithm(use_kl_in_reward=True), catalog().advantage("agpo"))


def test_token_rejection_is_refused_for_turn_level_methods_only():
    rejecting = algorithm(rollout_correction={"rollout_rs": "token_k1"})
    check(rejecting, catalog().advantage("agpo"))
    with pytest.raises(ConfigError, match="rollout_rs=token_k1 cuts tokens out"):
        check(rejecting, replace(catalog().advantage("agpo"), level="turn"))


def test_a_missing_signal_names_what_verl_passes_and_what_fits():
    with pytest.raises(MissingInputError) as caught:
        check(algorithm(), replace(catalog().advantage("agpo"), name="acme", needs=("entropy",)))
    message = str(caught.value)
    assert message.startswith("gainful: estimator 'acme' needs signal 'entropy' float [B, T]; verl ")
    assert (
        "passes only token_level_rewards, response_mask, config, index. Use trainer.v1.trainer_mode=gainful" in message
    )
    assert "or choose one of agpo, psr" in message
    assert "gigpo" not in message


def run_config(estimator, mode, **more):
    trainer = {"use_v1": True, "v1": {"trainer_mode": mode}}
    return OmegaConf.create({"algorithm": {"adv_estimator": estimator, **more}, "trainer": trainer})


def test_a_mode_that_carries_signals_lets_methods_that_need_them_run():
    known = catalog().advantages
    for mode in ("gainful_sync", "gainful_colocate_async"):
        assert check_run(run_config("canon_entropy", mode), known).name == "canon_entropy"
    for config in (run_config("gigpo", "sync"), OmegaConf.create({"algorithm": {"adv_estimator": "gigpo"}})):
        with pytest.raises(MissingInputError, match=r"needs signal 'anchor_ids' int64 \[B, T\], 'turn_rewards' float"):
            check_run(config, known)


def test_verls_older_trainer_carries_nothing():
    config = run_config("hdpo", "gainful_sync")
    config.trainer.use_v1 = False
    with pytest.raises(MissingInputError, match="needs signal 'tool_calls'"):
        check_run(config, catalog().advantages)


def test_no_entropy_where_verl_skips_the_old_log_probabilities():
    config = run_config("canon_entropy", "gainful_sync", rollout_correction={"bypass_mode": True})
    with pytest.raises(ConfigError, match="bypass_mode=true skips both; set it to false"):
        check_run(config, catalog().advantages)


def test_all_reasons_are_named_at_once():
    with pytest.raises(ConfigError, match=r"filter_groups.*; .*use_kl_in_reward"):
        check(algorithm(filter_groups={"enable": True}, use_kl_in_reward=True), catalog().advantage("agpo"))


def test_options_for_an_estimator_that_is_not_ours_are_refused():
    config = OmegaConf.create({"algorithm": {"adv_estimator": "grpo", "gainful": {"delta": 1}}})
    with pytest.raises(ConfigError, match="adv_estimator=grpo is not an estimator of gainful"):
        check_run(config, catalog().advantages)


def test_a_run_without_us_is_left_alone():
    assert check_run(OmegaConf.create({"algorithm": {"adv_estimator": "gae"}}), catalog().advantages) is None


def test_a_configuration_that_is_no_run_of_verl_is_left_alone():
    assert check_run(OmegaConf.create({"db": {"driver": "mysql"}}), catalog().advantages) is None


def test_a_misspelt_estimator_is_warned_about(caplog):
    config = OmegaConf.create({"algorithm": {"adv_estimator": "agop"}})
    assert check_run(config, catalog().advantages) is None
    assert "did you mean 'agpo'?" in caplog.text


@pytest.mark.parametrize(
    ("overrides", "messages"),
    [
        (
            ["+algorithm.gainful.dleta=1"],
            ["ConfigError: algorithm.gainful: unknown option 'dleta' for agpo; did you mean"],
        ),
        (["+algorithm.gainful.negative_reward=1"], ["input should be less than or equal to 0 for agpo, got 1"]),
        (
            ["algorithm.filter_groups.enable=true", "algorithm.use_kl_in_reward=true"],
            ["set algorithm.filter_groups.enable=false", "actor_rollout_ref.actor.use_kl_loss=true"],
        ),
    ],
)
def test_verls_main_program_stops_before_ray_starts(fresh, tmp_path, monkeypatch, overrides, messages):
    monkeypatch.chdir(tmp_path)
    status, output = fresh(*MAIN, "algorithm.adv_estimator=agpo", *overrides)
    assert status == 1
    assert [message for message in messages if message not in output] == []
    assert "ray init kwargs" not in output
    assert "Traceback" not in output


def test_the_dry_run_prints_what_would_be_used_and_starts_nothing(fresh, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, output = fresh(*DRY_RUN, "algorithm.adv_estimator=agpo", "+algorithm.gainful.delta=2")
    assert status == 0, output
    assert "algorithm.gainful.delta=2.0" in output
    assert "algorithm.gainful.negative_reward=-1.0" in output
    assert not list(tmp_path.iterdir())
    status, output = fresh(*DRY_RUN, "algorithm.adv_estimator=agpo", "+algorithm.gainful.dleta=2")
    assert status == 1
    assert "did you mean 'delta'?" in output
