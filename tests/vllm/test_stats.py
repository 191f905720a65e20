"""Counters, vLLM's log line and Prometheus."""

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from gainful_vllm.stats import Counters, SparKVMetrics, SparKVStats


def filled():
    counters = Counters()
    counters.add("tokens", "streamed", by=64)
    counters.add("tokens", "streamed", by=32)
    counters.add("requests", "two_pointer", "taken over")
    counters.add("tokens", "failed", by=0)
    counters.observe("over_bound", 1.07)
    counters.observe("over_bound", None)
    counters.level("link_bytes_per_second", 1e6)
    return counters


def test_counters_are_taken_once():
    counters = filled()
    assert counters.total("tokens", "streamed") == 96
    assert counters.take().data["sums"]["tokens|streamed"] == 96
    assert counters.take() is None


def test_stats_of_two_processes_merge_and_travel_as_plain_data():
    merged = SparKVStats(data=dict(filled().take().to_dict())).aggregate(filled().take())
    assert merged.data["sums"]["tokens|streamed"] == 192
    assert merged.data["seen"] == {"over_bound": [1.07, 1.07]}
    assert merged.reduce()["requests_two_pointer_taken_over"] == 2
    assert not merged.is_empty()
    merged.reset()
    assert merged.is_empty()
    assert SparKVStats(data={}).aggregate(filled().take()).data["levels"] == {"link_bytes_per_second": 1e6}


@pytest.fixture
def page():
    """`page(data)`: what Prometheus reads after a step."""

    def show(data):
        registry = CollectorRegistry()

        def into(kind):
            return lambda **options: kind(registry=registry, **options)

        config = type("Config", (), {"kv_transfer_config": None})()
        kinds = {kind: into(kind) for kind in (Counter, Gauge, Histogram)}
        metrics = SparKVMetrics(config, kinds, ["engine"], {0: ["0"]})
        metrics.observe(data, 0)
        return registry

    return show


def test_prometheus_shows_them(page):
    registry = page(filled().take().data)
    assert registry.get_sample_value("gainful:sparkv_tokens_total", {"engine": "0", "route": "streamed"}) == 96
    labels = {"engine": "0", "mode": "two_pointer", "outcome": "taken over"}
    assert registry.get_sample_value("gainful:sparkv_requests_total", labels) == 1
    assert registry.get_sample_value("gainful:sparkv_over_bound_count", {"engine": "0"}) == 1
    assert registry.get_sample_value("gainful:sparkv_link_bytes_per_second", {"engine": "0"}) == 1e6


def test_what_another_version_sends_is_left_out(page):
    registry = page({"sums": {"new|x": 1, "tokens": 5, "tokens|a|b": 1}, "seen": {"new": [1]}, "levels": {"new": 2}})
    assert registry.get_sample_value("gainful:sparkv_tokens_total", {"engine": "0", "route": "a"}) is None
