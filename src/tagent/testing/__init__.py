"""Public doubles for tests of pipelines and agents: no key, no network, no waiting."""

from tagent.testing.manual_clock import ManualClock
from tagent.testing.scripted_model import ScriptedModel

__all__ = ["ManualClock", "ScriptedModel"]
