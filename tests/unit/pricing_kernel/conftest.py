"""The kernel on the chain."""

from typing import Any

import pytest

from scripts import normal_table


@pytest.fixture(scope="module")
def kernel(project_contracts: Any, deployer: Any) -> Any:
    """The real contract with its real table."""
    return deployer.deploy(project_contracts.PricingKernel, normal_table.words())
