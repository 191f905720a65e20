"""Is everything that is installed also usable? Findings, each with the command that mends it.

The core knows no host: an adapter's own questions live in its module `doctor`, which runs in a fresh interpreter and
answers in JSON, and its live probe, where it has one, in its module `doctor_probe`, which does the same.
"""

from gainful.doctor.examination import examine
from gainful.doctor.findings import Finding, State, answer
from gainful.doctor.hosts import examine_host
from gainful.doctor.installation import examine_extras, examine_installation
from gainful.doctor.plugins import examine_plugins
from gainful.doctor.probes import probe_store, probe_systems

__all__ = [
    "Finding",
    "State",
    "answer",
    "examine",
    "examine_extras",
    "examine_host",
    "examine_installation",
    "examine_plugins",
    "probe_store",
    "probe_systems",
]
