"""The libraries on the chain, behind one harness."""

from typing import Any

import pytest

from scripts import normal_table


@pytest.fixture(scope="module")
def harness(project_contracts: Any, deployer: Any) -> Any:
    """The internal functions of the libraries as views."""
    return deployer.deploy(project_contracts.LibraryHarness, normal_table.words())
