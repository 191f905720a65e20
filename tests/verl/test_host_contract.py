"""What we rely on in verl and hydra. If one of these fails, the host has moved: read the test's name first."""

import inspect

import numpy as np
import pytest
import torch
import verl
from verl.trainer.ppo import core_algos, ray_trainer


def test_registering_by_name_takes_a_free_name_and_refuses_another_function(monkeypatch):
    monkeypatch.setattr(core_algos, "ADV_ESTIMATOR_REGISTRY", dict(core_algos.ADV_ESTIMATOR_REGISTRY))
    first = core_algos.register_adv_est("contract_test")(lambda: 1)
    assert core_algos.get_adv_estimator_fn("contract_test") is first
    core_algos.register_adv_est("contract_test")(first)
    with pytest.raises(ValueError, match="already been registered"):
        core_algos.register_adv_est("contract_test")(lambda: 2)


def test_an_unknown_name_is_a_value_error():
    with pytest.raises(ValueError, match="Unknown advantage estimator"):
        core_algos.get_adv_estimator_fn("no_such_estimator")


def test_estimators_by_name_receive_rewards_mask_config_and_uid(monkeypatch):
    from tensordict import TensorDict

    from gainful_verl.preflight import PASSED

    received = {}

    def record(**arguments):
        received.update(arguments)
        return arguments["token_level_rewards"], arguments["token_level_rewards"]

    monkeypatch.setitem(core_algos.ADV_ESTIMATOR_REGISTRY, "contract_test", record)
    tokens = TensorDict({"token_level_rewards": torch.zeros(2, 3), "response_mask": torch.ones(2, 3)}, batch_size=2)
    uids = np.array(["a", "b"], dtype=object)
    data = verl.DataProto(batch=tokens, non_tensor_batch={"uid": uids})
    ray_trainer.compute_advantage(data, adv_estimator="contract_test", config={"gamma": 1})
    assert sorted(received) == sorted(PASSED)
    assert list(received["index"]) == ["a", "b"]
    assert received["config"] == {"gamma": 1}


def test_the_default_trainer_computes_advantages_with_that_function():
    from verl.trainer.ppo.v1 import utils

    assert utils.compute_advantage is ray_trainer.compute_advantage


def test_trainers_have_the_step_that_ours_extend_and_the_names_they_stand_for():
    from verl.trainer.ppo import v1

    from gainful_verl.modes import MODES

    for stock, trainer in zip(MODES.values(), (v1.PPOTrainerSync, v1.PPOTrainerColocateAsync), strict=True):
        assert v1.get_trainer_cls(stock) is trainer
        assert list(inspect.signature(trainer._compute_advantage).parameters) == ["self", "batch", "metrics"]
    for ours in MODES:
        assert issubclass(v1.get_trainer_cls(ours), v1.get_trainer_cls(MODES[ours]))


def test_that_step_still_narrows_the_batch_and_keeps_the_order_of_rows():
    from verl.trainer.ppo.v1 import PPOTrainer

    source = inspect.getsource(PPOTrainer._compute_advantage)
    assert "kv_batch_get(keys=batch.keys, partition_id=batch.partition_id, select_fields=fields)" in source
    assert '"entropy"' not in source


def test_columns_that_we_fetch_are_written_by_verl():
    from verl.trainer.ppo.v1 import PPOTrainer

    from gainful_verl.modes import COLUMNS

    source = inspect.getsource(PPOTrainer)
    assert not [name for name in COLUMNS if f'"{name}"' not in source]


def test_policy_losses_are_looked_up_by_name_and_receive_what_we_take():
    from gainful_verl.policy_loss import LOSSES

    stock = inspect.signature(core_algos.get_policy_loss_fn("vanilla")).parameters
    for loss in LOSSES.values():
        assert list(inspect.signature(loss).parameters) == list(stock)
    with pytest.raises(ValueError, match="Unsupported loss mode"):
        core_algos.get_policy_loss_fn("no_such_loss")


def test_the_main_program_imports_the_module_we_watch():
    from verl.trainer import main_ppo

    from gainful_verl.autoload import DRIVER_MODULE, REGISTRY_MODULE, TRAINERS_MODULE

    assert f"from {DRIVER_MODULE} import" in inspect.getsource(main_ppo)
    assert f"from {TRAINERS_MODULE} import get_trainer_cls" in inspect.getsource(main_ppo)
    assert core_algos.__name__ == REGISTRY_MODULE


def test_padding_rows_have_the_uid_we_know():
    from verl.trainer.ppo import padding_utils

    from gainful_verl.adapt import PADDING_UID

    assert f'pad_uid = f"{PADDING_UID}{{' in inspect.getsource(padding_utils)


def test_agent_loops_have_what_evidence_is_rendered_with():
    from verl.experimental.agent_loop.agent_loop import AgentLoopBase
    from verl.utils.tokenizer import normalize_token_ids
    from verl.utils.tokenizer.chat_template import apply_chat_template

    source = inspect.getsource(AgentLoopBase.__init__)
    assert "self.continuous_token_builder = " in source
    assert "self.apply_chat_template_kwargs = " in source
    assert {"tokenize", "add_generation_prompt"} <= set(inspect.signature(apply_chat_template).parameters)
    assert normalize_token_ids({"input_ids": [1, 2]}) == normalize_token_ids([1, 2]) == [1, 2]


def test_keys_that_are_refused_exist_in_the_stock_configuration():
    from hydra import compose, initialize_config_module

    with initialize_config_module("verl.trainer.config", version_base=None):
        algorithm = compose("ppo_trainer").algorithm
    assert algorithm.filter_groups.enable is False
    assert algorithm.use_kl_in_reward is False
    assert algorithm.rollout_correction.rollout_rs is None


def test_hydra_still_turns_errors_of_callbacks_into_warnings_and_lets_exits_through():
    from hydra._internal.callbacks import Callbacks

    class Raises:
        def __init__(self, error):
            self.error = error

        def on_job_start(self, **_):
            raise self.error

    callbacks = Callbacks()
    callbacks.callbacks = [Raises(ValueError("swallowed"))]
    with pytest.warns(UserWarning, match="swallowed"):
        callbacks.on_job_start(config={}, task_function=None)
    callbacks.callbacks = [Raises(SystemExit("out"))]
    with pytest.raises(SystemExit):
        callbacks.on_job_start(config={}, task_function=None)
