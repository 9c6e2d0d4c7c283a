"""`StepMemory`: the memory that one step, or a tool of its agent, may reach."""

from collections.abc import Collection

from tagent.bridge import Bridge
from tagent.effects import EffectBuffer
from tagent.exceptions import TAgentError, nearest
from tagent.memory.scope import MemoryScope
from tagent.names import pipeline_scope, run_scope, shared_scope, space_scope, step_scope
from tagent.ports.store import Store


class MemoryNotAllowedError(TAgentError):
    """A step asks for a space that its pipeline does not share.

    Attributes:
        space: The space.

    Example:
        >>> from tagent import run_pipeline
        >>> from tagent.pipeline import Pipeline, StepContext
        >>> def price(context: StepContext) -> object:
        ...     return context.memory.space("prices").get("tea")
        >>> shop = Pipeline("shop").step("price", run=price, max_retries=0)
        >>> run_pipeline(shop).step_metadata["price"]["code"]
        'memory.not_allowed'
        >>> run_pipeline(Pipeline(shop, spaces=["prices"])).success
        True
    """

    code = "memory.not_allowed"

    def __init__(self, space: str, *, pipeline: str, known: Collection[str]) -> None:
        self.space = space
        super().__init__(
            f"The pipeline {pipeline!r} does not share the space {space!r}.{nearest(space, known)}",
            hint=f"Declare it: Pipeline({pipeline!r}, spaces=[{space!r}]).",
        )


class StepMemory:
    """The scopes of a step. Nothing here leads into the private memory of another pipeline.

    Args:
        store: Where memory is kept.
        pipeline: The pipeline's name.
        run_id: The run.
        step: The step.
        spaces: The spaces that the pipeline shares with others.
        bridge: The way to the store's event loop.
        buffer: Gathers what the step writes.

    Attributes:
        step: What is this step's alone in this run: for its tools, and for who looks at it later.
        run: What the steps of this run share.
        pipeline: What the pipeline remembers from run to run.
        shared: What other pipelines have shared with this one.

    Example:
        >>> from tagent import run_pipeline
        >>> from tagent.pipeline import Pipeline, StepContext
        >>> def count(context: StepContext) -> int:
        ...     runs = context.memory.pipeline.get("runs", 0) + 1
        ...     context.memory.pipeline.put("runs", runs)
        ...     return runs
        >>> run_pipeline(Pipeline("counter").step("count", run=count)).final_output
        1
    """

    def __init__(
        self,
        store: Store,
        *,
        pipeline: str,
        run_id: str,
        step: str,
        spaces: Collection[str],
        bridge: Bridge,
        buffer: EffectBuffer,
    ) -> None:
        def scope(name: str) -> MemoryScope:
            return MemoryScope(store, name, bridge=bridge, buffer=buffer)

        self._scope = scope
        self._pipeline = pipeline
        self._spaces = spaces
        self.step = scope(step_scope(run_id, step))
        self.run = scope(run_scope(run_id))
        self.pipeline = scope(pipeline_scope(pipeline))
        self.shared = scope(shared_scope(pipeline))

    def space(self, name: str) -> MemoryScope:
        """Return a space that several pipelines share.

        Raises:
            MemoryNotAllowedError: If this pipeline does not share it.
        """
        if name not in self._spaces:
            raise MemoryNotAllowedError(name, pipeline=self._pipeline, known=self._spaces)
        return self._scope(space_scope(name))

    def share_with_pipeline(self, target_pipeline: str, key: str, data: object) -> None:
        """Share `data` with another pipeline, which finds it under `key` in its `shared` memory.

        Raises:
            PayloadError: If it cannot be written as JSON, or is too large.
            InvalidNameError: If the key is no name.
        """
        self._scope(shared_scope(target_pipeline)).put(key, data)
