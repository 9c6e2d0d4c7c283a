"""`PipelineMemory`: the memory of a pipeline, from outside its runs."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from operator import attrgetter
from types import TracebackType
from typing import Any, Self

from tagent.memory import MemoryEntry, MemoryScope
from tagent.memory.scope import QUOTA
from tagent.names import (
    checked_name,
    pipeline_scope,
    results_scope,
    run_scope,
    shared_scope,
    space_scope,
    step_results_scope,
    step_scope,
)
from tagent.pipeline.journal.connection import Connection
from tagent.ports.documents import Quota
from tagent.ports.services import Services


class ScopeView(Mapping[str, Any]):
    """A scope as a mapping that is read from the store each time; one page after the other when it is gone through.

    Args:
        scope: The scope.
        shown: What is shown of an entry.
    """

    def __init__(self, scope: MemoryScope, *, shown: Callable[[MemoryEntry], Any] = attrgetter("value")) -> None:
        self._scope = scope
        self._shown = shown

    def __getitem__(self, key: str) -> Any:
        """Return what is remembered under `key`."""
        entry = self._scope.entry(key)
        if entry is None:
            raise KeyError(key)
        return self._shown(entry)

    def __iter__(self) -> Iterator[str]:
        """Yield the keys, in order."""
        after = ""
        while page := self._scope.entries(after=after):
            for entry in page:
                yield entry.key
            after = page[-1].key

    def __len__(self) -> int:
        """Return how many there are."""
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return f"ScopeView({dict(self)!r})"


class PipelineMemory:
    """What a pipeline remembers, and how others share with it; usable in any program, also while its runs go on.

    Each method blocks and has an async twin, whose name begins with an `a`. It closes its store at the end of a
    `with` block, or with `close`; from then on each raises `ClosedBridgeError`. With `services` a blocking method
    raises `BlockingCallError` in their loop.

    Args:
        pipeline_id: The name of the pipeline.
        store: The URL of the store; None takes that of the settings. `memory://` is of this object alone.
        services: Open services to use instead, in the loop that is running.
        quota: What each of its scopes may hold.

    Attributes:
        pipeline_id: The name of the pipeline.
        pipeline: What it remembers from run to run.
        shared: What other pipelines have shared with it.
        step_memory: Step name -> `data`, `timestamp` and `step_id` of the result that was saved for it.
        shared_memory: `shared` as a mapping.
        pipeline_results: Run id -> what a run came to, as `save_result` saved it.

    Raises:
        InvalidNameError: If the name of the pipeline is no name.
        ConfigurationError: If the URL names no store.
        StoreError: If the store cannot be opened.

    Example:
        >>> with PipelineMemory("report", store="memory://") as memory:
        ...     memory.save_step_result("search", {"hits": 3})
        ...     memory.get_step_result("search")
        {'hits': 3}
    """

    def __init__(
        self, pipeline_id: str, *, store: str | None = None, services: Services | None = None, quota: Quota = QUOTA
    ) -> None:
        self.pipeline_id = checked_name(pipeline_id)
        self._connection = Connection(store=store, services=services)
        self._quota = quota
        self._steps = self._scope(step_results_scope(pipeline_id))
        self._results = self._scope(results_scope(pipeline_id))
        self.pipeline = self._scope(pipeline_scope(pipeline_id))
        self.shared = self._scope(shared_scope(pipeline_id))
        self.step_memory: Mapping[str, Any] = ScopeView(self._steps, shown=_step_result)
        self.shared_memory: Mapping[str, Any] = ScopeView(self.shared)
        self.pipeline_results: Mapping[str, Any] = ScopeView(self._results)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the store, unless it was given open; a second time does nothing."""
        self._connection.close()

    def run(self, run_id: str) -> MemoryScope:
        """Return what the steps of one run share.

        Raises:
            InvalidNameError: If it is no name.
        """
        return self._scope(run_scope(checked_name(run_id)))

    def step(self, run_id: str, step: str) -> MemoryScope:
        """Return what one step of one run remembers.

        Raises:
            InvalidNameError: If one of them is no name.
        """
        return self._scope(step_scope(checked_name(run_id), checked_name(step)))

    def space(self, name: str) -> MemoryScope:
        """Return a space that several pipelines share.

        Raises:
            InvalidNameError: If it is no name.
        """
        return self._scope(space_scope(checked_name(name)))

    def save_step_result(self, step_name: str, data: object) -> None:
        """Save the result of a step, for whoever asks for it later, in any process.

        Raises:
            PayloadError: If it cannot be written as JSON, or is too large.
            InvalidNameError: If the step's name is no name.
            StoreError: If the store cannot be written.
            QuotaExceededError: If more would be kept than the quota allows.
        """
        self._steps.put(step_name, data)

    async def asave_step_result(self, step_name: str, data: object) -> None:
        """Save the result of a step."""
        await self._steps.aput(step_name, data)

    def get_step_result(self, step_name: str, *, schema: object = None) -> Any:
        """Return the result that was saved for a step; None if there is none.

        Args:
            step_name: The step.
            schema: The type to read it as, a Pydantic model or anything that Pydantic can check.

        Raises:
            PayloadError: If it does not fit the schema.
            StoreError: If the store cannot be read.
        """
        return self._steps.get(step_name, schema=schema)

    async def aget_step_result(self, step_name: str, *, schema: object = None) -> Any:
        """Return the result that was saved for a step; None if there is none."""
        return await self._steps.aget(step_name, schema=schema)

    def share_with_pipeline(self, target_pipeline: str, key: str, data: object) -> None:
        """Share `data` with another pipeline, which finds it under `key` in what is shared with it.

        Raises:
            PayloadError: If it cannot be written as JSON, or is too large.
            InvalidNameError: If a name is no name.
            QuotaExceededError: If more would be kept than the quota allows.
            StoreError: If the store cannot be written.

        Example:
            >>> with PipelineMemory("prices", store="memory://") as memory:
            ...     memory.share_with_pipeline("prices", "tea", 3)  # with itself, for once
            ...     dict(memory.shared_memory)
            {'tea': 3}
        """
        self._scope(shared_scope(checked_name(target_pipeline))).put(key, data)

    async def ashare_with_pipeline(self, target_pipeline: str, key: str, data: object) -> None:
        """Share `data` with another pipeline."""
        await self._scope(shared_scope(checked_name(target_pipeline))).aput(key, data)

    def save_result(self, run_id: str, data: object) -> None:
        """Save what a run came to, for those who look for it in `pipeline_results`.

        Raises:
            PayloadError: If it cannot be written as JSON, or is too large.
            InvalidNameError: If the run's id is no name.
            QuotaExceededError: If more would be kept than the quota allows.
            StoreError: If the store cannot be written.

        Example:
            >>> with PipelineMemory("report", store="memory://") as memory:
            ...     memory.save_result("1f2e", {"hills": 7})
            ...     memory.pipeline_results["1f2e"]
            {'hills': 7}
        """
        self._results.put(run_id, data)

    async def asave_result(self, run_id: str, data: object) -> None:
        """Save what a run came to."""
        await self._results.aput(run_id, data)

    def _scope(self, name: str) -> MemoryScope:
        connection = self._connection
        return MemoryScope(connection.services.store, name, bridge=connection.bridge, quota=self._quota)


def _step_result(entry: MemoryEntry) -> dict[str, object]:
    return {"data": entry.value, "timestamp": datetime.fromtimestamp(entry.at, UTC), "step_id": entry.key}
