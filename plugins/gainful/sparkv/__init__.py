"""SparKV: part of a prompt's KV cache is streamed from a store while the engine computes the rest.

A reusable prefix can be computed again or loaded. Alone, each route leaves the other idle; together they take about
half as long where both are equally fast, and gain less the further they are apart. The engine computes from the front,
the store streams from the back, and where they meet the prompt is done. `costs` and `link` learn from measurements what
a chunk costs on either route, `planner` says whether mixing them pays and what no assignment can beat, `rebalancer`
lets both routes run until they meet, and `simulate` shows all of it without an engine. All of these are sans-IO.

What is the paper's ("SparKV: Overhead-Aware KV Cache Loading for Efficient On-Device LLM Inference", arXiv
2604.21231): each chunk's cost is modelled on both routes; chunks are streamed or computed, and the routes overlap; an
offline plan is refined at run time for fluctuating links and contended processors. Its abstract says so, and that time
to first token falls by 1.3 to 5.1 times and energy by 1.5 to 3.3 times; those are its figures, not ours. Two secondary
sources agree on the rest: a chunk is 1,024 tokens of one layer and one head, attention's cost comes from a small
network, a greedy schedule minimises the sum over stages of max(compute, stream), and a sliding window of actual over
predicted time moves chunks between routes, up to a cap. There is no public code; its constants are not known.

What is ours, and why:

- Chunks are all layers and heads deep. A paged engine computes a block of tokens through all layers in one forward, so
  streaming one low cell forfeits the column above it, and nothing between two tokens' blocks can be skipped. Derived,
  not run: cells could gain 1 to 9 % more with dense attention. What is kept is the idea, not the geometry.
- With such chunks position alone predicts compute, so three fitted coefficients replace the network; and computing a
  prefix while streaming the suffix is optimal, so an exact split replaces the greedy schedule, with a lower bound
  beside it.
- Two pointers replace the controller: their finish is within one chunk of the best split in hindsight, whatever the
  rates do, without a forecast. The cost model is left to admission, codecs, sharing a link, and reports.

Names are imported when they are first used: hosts load this package in every process.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gainful.sparkv.bound import closed_form_split, lower_bound_s
    from gainful.sparkv.calibration import Calibration, load_calibration
    from gainful.sparkv.choices import CodecCandidate, CodecChoice, IoDemand, choose_codec, most_valuable
    from gainful.sparkv.chunks import ChunkLayout
    from gainful.sparkv.costs import ComputeModel, PrefillSample, RouteCosts, fit_compute, route_costs
    from gainful.sparkv.link import LinkEstimate, LinkEstimator, LinkOptions, window_chunks
    from gainful.sparkv.planner import Plan, PlannerOptions, Prediction, plan
    from gainful.sparkv.rebalancer import Rebalancer, RebalancerOptions, Span
    from gainful.sparkv.run_report import RaceReport, race_report
    from gainful.sparkv.unknown import Unknown

_HOMES = {
    "Calibration": "calibration",
    "ChunkLayout": "chunks",
    "CodecCandidate": "choices",
    "CodecChoice": "choices",
    "ComputeModel": "costs",
    "IoDemand": "choices",
    "LinkEstimate": "link",
    "LinkEstimator": "link",
    "LinkOptions": "link",
    "Plan": "planner",
    "PlannerOptions": "planner",
    "Prediction": "planner",
    "PrefillSample": "costs",
    "RaceReport": "run_report",
    "Rebalancer": "rebalancer",
    "RebalancerOptions": "rebalancer",
    "RouteCosts": "costs",
    "Span": "rebalancer",
    "Unknown": "unknown",
    "choose_codec": "choices",
    "closed_form_split": "bound",
    "fit_compute": "costs",
    "load_calibration": "calibration",
    "lower_bound_s": "bound",
    "most_valuable": "choices",
    "plan": "planner",
    "race_report": "run_report",
    "route_costs": "costs",
    "window_chunks": "link",
}
"""Name and module. Stores and codecs are imported from their own modules, since they need more than numpy."""

__all__ = [
    "Calibration",
    "ChunkLayout",
    "CodecCandidate",
    "CodecChoice",
    "ComputeModel",
    "IoDemand",
    "LinkEstimate",
    "LinkEstimator",
    "LinkOptions",
    "Plan",
    "PlannerOptions",
    "Prediction",
    "PrefillSample",
    "RaceReport",
    "Rebalancer",
    "RebalancerOptions",
    "RouteCosts",
    "Span",
    "Unknown",
    "choose_codec",
    "closed_form_split",
    "fit_compute",
    "load_calibration",
    "lower_bound_s",
    "most_valuable",
    "plan",
    "race_report",
    "route_costs",
    "window_chunks",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'gainful.sparkv' has no attribute {name!r}")
    return getattr(import_module(f"gainful.sparkv.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)
