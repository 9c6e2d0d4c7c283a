"""Public doubles for tests of pipelines and agents, replays, and the contract of a store: no key, network or waiting.

What is heavy is loaded when it is first used: a replay, and the contract, which needs pytest, pytest-asyncio
and hypothesis.
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING

from tagent.testing.manual_clock import ManualClock
from tagent.testing.scripted_model import ScriptedModel

if TYPE_CHECKING:
    from tagent.testing.replaying import replay
    from tagent.testing.store_contract import DurableStoreContract, StoreContract

__all__ = ["ManualClock", "ScriptedModel", "replay", "StoreContract", "DurableStoreContract"]


def __getattr__(name: str) -> object:
    if name == "replay":
        return import_module("tagent.testing.replaying").replay
    if name not in ("StoreContract", "DurableStoreContract"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if "tagent.testing.store_contract" not in sys.modules:
        import pytest

        pytest.register_assert_rewrite("tagent.testing.store_contract")
    return getattr(import_module("tagent.testing.store_contract"), name)
