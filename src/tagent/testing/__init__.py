"""Public doubles for tests of pipelines and agents, and the contract of a store: no key, no network, no waiting.

The contract is loaded when it is first used: it needs pytest, pytest-asyncio and hypothesis.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from tagent.testing.manual_clock import ManualClock
from tagent.testing.scripted_model import ScriptedModel

if TYPE_CHECKING:
    from tagent.testing.store_contract import DurableStoreContract, StoreContract

__all__ = ["ManualClock", "ScriptedModel", "StoreContract", "DurableStoreContract"]


def __getattr__(name: str) -> object:
    if name not in ("StoreContract", "DurableStoreContract"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import pytest

    pytest.register_assert_rewrite("tagent.testing.store_contract")
    return getattr(import_module("tagent.testing.store_contract"), name)
