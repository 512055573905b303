"""What all tests share: Hypothesis profiles, the compiled contracts, accounts and isolation.

The chain is Anvil, which ape starts on a port of its own when a test first needs it and stops at the end.
"""

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import SimpleNamespace
from typing import Any

import ape
import pytest
from ape.managers.chain import ChainManager
from hypothesis import HealthCheck, settings

from scripts import compiled

# Speed on a shared machine says nothing of correctness, so no deadline. A failure prints a blob that reproduces it.
COMMON: dict[str, Any] = {
    "deadline": None,
    "print_blob": True,
    "suppress_health_check": [HealthCheck.too_slow],
}
# The same examples for the same tests, so that a change is judged by itself; `deep` draws others every time.
settings.register_profile("ci", max_examples=40, stateful_step_count=25, derandomize=True, **COMMON)
settings.register_profile("deep", max_examples=1_000, stateful_step_count=60, **COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@contextmanager
def isolate(chain: Any) -> Iterator[None]:
    """Undo on the chain whatever the body did, and let pass whatever it raised.

    In the place of ape's own, which swallows every exception of its body: no assertion inside it could fail.
    """
    snapshot, pending = chain.snapshot(), chain.pending_timestamp
    try:
        yield
    finally:
        chain.restore(snapshot)
        chain.pending_timestamp = pending


ChainManager.isolate = isolate


@pytest.hookimpl(wrapper=True)
def pytest_exception_interact(report: Any) -> Generator[None, Any, Any]:
    """Keep pytest's traceback. Ape's takes .venv for the project and prints the locals of all its frames."""
    longrepr = report.longrepr
    result = yield
    report.longrepr = longrepr
    return result


class SessionMinesNothing:
    """Refuse a fixture of the session that changes the chain.

    The chain is put back to what it was before each module, so that it would be gone after the module that asked first.
    """

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Generator[None, Any, Any]:
        outlives = fixturedef.scope in ("session", "package") and not fixturedef.argname.startswith("_")
        height = ape.chain.blocks.height if outlives and ape.networks.active_provider else None
        result = yield
        assert height is None or ape.chain.blocks.height == height, (
            f"the fixture {fixturedef.argname} changes the chain: scope it to the module"
        )
        return result


def pytest_configure(config: pytest.Config) -> None:
    """As a plugin of the session: what belongs to the session is not told to a conftest."""
    config.pluginmanager.register(SessionMinesNothing())


@pytest.fixture(scope="session")
def project_contracts() -> SimpleNamespace:
    """Every deployable by name (`project_contracts.MarginEngine`), compiled once for the sources as they are."""
    return compiled.load()


@pytest.fixture(scope="session")
def deployer(accounts: Any) -> Any:
    """The account that deploys the protocol and holds every role until it hands them over."""
    return accounts[0]


@pytest.fixture(scope="session")
def isolated(chain: Any) -> Callable[[], AbstractContextManager[None]]:
    """`with isolated():` undoes on the chain whatever its body did. Put each Hypothesis example in one."""
    return chain.isolate


@pytest.fixture(scope="session")
def ape_chain(chain: Any) -> Any:
    """Ape's chain under a name that does not hide `scripts.chain`."""
    return chain
