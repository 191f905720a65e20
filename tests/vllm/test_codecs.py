"""A lossy codec, chunks of two blocks, no prefix cache, and measurements that outlive the engine."""

import pytest

from gainful_vllm.knowledge import Knowledge


@pytest.fixture(scope="module")
def engine(open_engine, tmp_path_factory):
    options = {
        "codec": "int8",
        "chunk_blocks": 2,
        "store": "memory://lossy",
        "calibration_folder": str(tmp_path_factory.mktemp("fits")),
        "refit_steps": 8,
    }
    with open_engine(options, enable_prefix_caching=False, scheduler_cls=None) as opened:
        yield opened


@pytest.mark.parametrize("mode", ["async_prefix", "layerwise"])
def test_int8_chunks_come_back(engine, prompt, mode):
    ids = prompt(700)
    engine.one(ids, mode="compute")
    engine.forget()
    tokens, report = engine.one(ids, mode=mode, use_plan=False)
    assert report["streamed_tokens"] == 640  # ten chunks of 64 are stored whole
    assert len(tokens) == 8


def test_auto_without_our_scheduler_class_loads_prefixes(engine, prompt):
    _, report = engine.one(prompt(100))
    assert report["mode"] == "async_prefix"


def test_what_was_computed_behind_lossy_blocks_is_not_saved(engine, prompt):
    front, rest = prompt(640), prompt(200)
    engine.one(front, mode="compute")
    engine.forget()
    _, report = engine.one(front + rest, mode="async_prefix", use_plan=False)
    assert report["streamed_tokens"] == 640
    engine.forget()
    _, report = engine.one(front + rest, mode="async_prefix", use_plan=False)
    assert report["streamed_tokens"] == 640  # not 832
    engine.one(front + rest, mode="compute")
    engine.forget()
    _, report = engine.one(front + rest, mode="async_prefix", use_plan=False)
    assert report["streamed_tokens"] == 832


def test_measured_steps_are_fitted_and_found_by_the_next_engine(engine, prompt):
    for _ in range(4):
        engine.one(prompt(900), mode="compute", save=False)
    engine.scheduler_part.fitter.submit(int).result(20)  # behind all fits
    fitted = Knowledge(engine.scheduler_part.engine).compute
    assert fitted.num_samples >= 8
    assert fitted.seconds(900, 0) > 0
