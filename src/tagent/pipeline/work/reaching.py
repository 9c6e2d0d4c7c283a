"""The way from the steps of one run to memory and mail, and what a step leaves in memory."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import cast

from tagent.bridge import Bridge
from tagent.effects import EffectBuffer
from tagent.memory import StepMemory
from tagent.messaging import StepMessages
from tagent.names import pipeline_scope, run_scope
from tagent.payloads import decoded
from tagent.pipeline.journal.patience import PatientStore
from tagent.pipeline.models import MemoryUse, Pipeline, PipelineStep
from tagent.pipeline.state import PipelineState
from tagent.ports.services import Services
from tagent.ports.store import Store
from tagent.task_agent.tools.reach import Reach


class RunReach:
    """The ways out of one run.

    Args:
        pipeline: The definition.
        state: The run's state.
        services: Where memory and mail are.

    Attributes:
        services: The same, with a store for memory and mail that is waited for.
    """

    def __init__(self, pipeline: Pipeline, state: PipelineState, services: Services) -> None:
        self._pipeline = pipeline
        self._state = state
        patient = cast("Store", PatientStore(services.store, services.clock))  # as far as memory and mail ask it
        self.services = replace(services, store=patient)
        self._uses: dict[str, MemoryUse] = {}
        self.learn(pipeline.steps)

    def learn(self, steps: Iterable[PipelineStep]) -> None:
        """Know which memory each of these steps uses."""
        self._uses.update((step.name, step.memory or self._pipeline.memory) for step in steps)

    def of(self, step: str, key: str, buffer: EffectBuffer) -> Reach:
        """Return the way out of a step, or of a tool of its agent.

        Args:
            step: The step's name.
            key: Names the piece of work, equal in every attempt.
            buffer: Gathers what it writes, sends and receives.
        """
        bridge = Bridge(asyncio.get_running_loop())
        memory = StepMemory(
            self.services.store,
            pipeline=self._pipeline.name,
            run_id=self._state.run_id,
            step=step,
            spaces=self._pipeline.spaces,
            bridge=bridge,
            buffer=buffer,
        )
        messages = StepMessages(
            self.services,
            pipeline=self._pipeline.name,
            run_id=self._state.run_id,
            key=key,
            bridge=bridge,
            buffer=buffer,
        )
        return Reach(memory, messages, self._uses[step])

    def remember(
        self, step: str, buffer: EffectBuffer, kept: Mapping[str, object], output: Mapping[str, object]
    ) -> dict[str, object]:
        """Return what a step that has succeeded has put into the memory of its run or pipeline, by key.

        A step that uses the memory of its pipeline leaves there what it has learned, saved and come to.

        Args:
            step: The step's name.
            buffer: What it has gathered; takes in what is added.
            kept: What it has learned and saved, as JSON values.
            output: What it has come to, by its name; empty for a part of a step.

        Raises:
            PayloadError: If something is too large to be remembered.
        """
        if self._uses[step] == "pipeline":
            memory = self.of(step, "", buffer).memory.pipeline
            for key, fact in {**output, **kept}.items():
                memory.put(key, fact)
        if not buffer:
            return {}
        scopes = run_scope(self._state.run_id), pipeline_scope(self._pipeline.name)
        puts = [put for put in buffer.effects.puts if put.scope in scopes and put.value is not None]
        found = {put.key: decoded(put.value or b"", what=f"The memory {put.key!r}") for put in puts}
        return {key: value for key, value in found.items() if key != step and key not in kept}
