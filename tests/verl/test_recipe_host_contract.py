"""What the CPU recipe relies on in verl besides our adapter: the same functions, under the names it uses them by."""

import inspect

import pytest


def test_private_names_that_the_recipe_overrides_exist():
    from verl.workers.engine.fsdp.transformer_impl import FSDPEngineWithLMHead, FSDPEngineWithValueHead
    from verl.workers.rollout import base

    assert ("vllm", "async") in base._ROLLOUT_REGISTRY
    assert "forward_only" in inspect.getsource(FSDPEngineWithLMHead._build_fsdp_module)
    assert callable(FSDPEngineWithValueHead._build_module)


def test_public_hooks_have_the_arguments_that_the_recipe_passes():
    from verl.plugin.platform import PlatformBase, PlatformRegistry
    from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer
    from verl.workers.engine import EngineRegistry
    from verl.workers.rollout.replica import RolloutReplicaRegistry

    assert inspect.isabstract(PlatformBase) or inspect.isclass(PlatformBase)
    assert "platform" in inspect.signature(PlatformRegistry.register).parameters
    assert {"model_type", "backend", "device"} <= set(inspect.signature(EngineRegistry.register).parameters)
    assert callable(RolloutReplicaRegistry.register)
    assert "poll_interval" in inspect.signature(ReplayBuffer.__init__).parameters


@pytest.mark.parametrize("platform", ["cpu", ""])
def test_the_package_provides_the_cpu_platform_and_does_nothing_otherwise(fresh, repository, platform):
    code = "import sys, verl; print('verl_on_cpu.cpu_platform' in sys.modules)"
    variables = {"VERL_USE_EXTERNAL_MODULES": "verl_on_cpu", "VERL_PLATFORM": platform}
    status, output = fresh("-c", code, PYTHONPATH=str(repository / "recipes"), **variables)
    assert status == 0, output
    assert output.splitlines()[-1] == str(platform == "cpu")


def test_the_rollout_engine_enters_both_of_verls_tables(fresh, repository):
    code = (
        "import verl, verl_on_cpu.rollout_names; from verl.workers.rollout import base; "
        "print([key for key in base._ROLLOUT_REGISTRY if key[0] == 'batched_cpu'])"
    )
    variables = {"PYTHONPATH": str(repository / "recipes"), "VERL_PLATFORM": "cpu"}
    status, output = fresh("-c", code, **variables)
    assert status == 0, output
    assert output.splitlines()[-1] == "[('batched_cpu', 'async')]"
