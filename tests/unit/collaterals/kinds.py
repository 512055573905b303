"""Kinds of collateral with a rate of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from eth_utils.crypto import keccak

from tests.unit.protocol_fixtures import ETH, WAD, World

STETH_PER_TOKEN = keccak(text="stEthPerToken()")[:4]
CONVERT_TO_ASSETS = keccak(text="convertToAssets(uint256)")[:4]
PERCENT = WAD // 100


@dataclass(frozen=True)
class Kind:
    """A listed token with the contract inside it, from which its rate comes."""

    id: int
    token: Any
    inside: Any
    peg: Any


def staked(world: World, rate: int = 12 * WAD // 10, growth: int = PERCENT, underlying: int = ETH) -> Kind:
    """Wrapped staked ether, or the like of another underlying."""
    inside = world.owner.deploy(world.contracts.RebasingToken, rate)
    token = world.owner.deploy(world.contracts.WrappedStaked, inside)
    kind, peg = world.list_kind(token, underlying=underlying, rate=(token, STETH_PER_TOKEN, 18, growth))
    return Kind(kind, token, inside, peg)


def share(world: World, decimals: int = 18, growth: int = PERCENT) -> Kind:
    """A share of a vault of a stablecoin, in which a stranger has a million."""
    inside = world.owner.deploy(world.contracts.Token, "Dollar", "USDx", decimals)
    token = world.owner.deploy(world.contracts.Vault, inside)
    provide(world, Kind(0, token, inside, None), world.stranger, 10 ** (6 + decimals))
    kind, peg = world.list_kind(token, rate=(token, CONVERT_TO_ASSETS, decimals, growth))
    return Kind(kind, token, inside, peg)


def provide(world: World, kind: Kind, user: Any, assets: int) -> None:
    """Shares of a vault for freshly minted assets."""
    kind.inside.mint(user, assets, sender=user)
    kind.inside.approve(kind.token, assets, sender=user)
    kind.token.deposit(assets, user, sender=user)


def deposit(world: World, kind: Kind, account: int, units: int) -> None:
    """Deposit tokens that the owner of an account has."""
    user = world.user(account)
    kind.token.approve(world.house, units, sender=user)
    world.house.deposit(account, kind.id, units, sender=user)
