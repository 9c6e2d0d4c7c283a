"""What the checks of one pipeline look up: its steps, what is known of its inputs, the types of its outputs."""

from collections.abc import Collection, Set
from functools import cached_property

from pydantic import BaseModel

from tagent.exceptions import DataPathError, nearest
from tagent.paths import DataPath
from tagent.pipeline import bindings
from tagent.pipeline.conditions import ConditionError
from tagent.pipeline.graph import CircularDependencyError, ExecutionGraph
from tagent.pipeline.models import Dependency, DependencyType, ExecutionMode, Pipeline, PipelineStep
from tagent.pipeline.outputs import OutputType, result_schema
from tagent.pipeline.schema_paths import item_type, type_at
from tagent.pipeline.signatures import signature_of
from tagent.pipeline.validating.branches import Branches

Found = tuple[str, str]
"""The code of a problem, and what is wrong."""

MOST_SUGGESTIONS = 50
"""So many unknown names are compared with the known ones: each takes the time of all of these together."""

_TEXT = OutputType(str)
_ANYTHING = OutputType()


class Known:
    """What is known of one pipeline under check. Everything is worked out at most once, so that the checks stay linear.

    Attributes:
        pipeline: The definition.
        inputs: The names that a run is given; None when they are not known yet.
        tools: The functions that the run offers to every step.
        steps: Step name -> the first step of this name.
        names: Those of steps and inputs.
        is_undone: Whether a rollback may undo its steps: its own, or that of a pipeline around it.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        inputs: Collection[str] | None,
        tools: Collection[object],
        *,
        is_undone: bool = False,
    ) -> None:
        on_failure: object = pipeline.on_failure
        self.is_undone = is_undone or on_failure == "rollback"
        self.pipeline = pipeline
        self.inputs = inputs
        self.tools = tools
        self.steps: dict[str, PipelineStep] = {}
        for step in pipeline.steps:
            self.steps.setdefault(step.name, step)
        self.names: Set[str] = self.steps.keys() | set(inputs or ())
        self._types: dict[int, OutputType] = {}
        self._nearest: dict[tuple[str, str, bool], str] = {}

    def output_type(self, step: PipelineStep) -> OutputType:
        """Return the type of what `step` hands over: its schema, or what its work is annotated with, or text.

        Raises:
            TypeError: If Pydantic cannot check the type.
        """
        declared = step.output_schema
        if declared is None:
            if step.wait_for is not None:
                return _ANYTHING
            if bindings.is_router(step):
                return _TEXT
            is_merge = bindings.is_merge(step)
            if step.pipeline is not None and not is_merge:
                return self._type_of_run(step.pipeline)
            work: object = step.merge if is_merge else step.run
            is_goal = isinstance(work, str) and work not in bindings.MERGES
            if is_goal or (work is None and not is_merge):
                return _TEXT
            declared = signature_of(work).return_type if callable(work) else None
        return _ANYTHING if declared is None else self.type_of(declared)

    def _type_of_run(self, pipeline: Pipeline) -> OutputType:
        """Return the type of what the pipeline inside a step comes to."""
        if (ready := self._types.get(id(pipeline))) is None:
            try:
                ready = OutputType(result_schema(pipeline))
            except TypeError:  # its own checks say which of its types cannot be used
                ready = _ANYTHING
            self._types[id(pipeline)] = ready
        return ready

    def type_of(self, declared: object) -> OutputType:
        """Return the type `declared`, ready to check values.

        Raises:
            TypeError: If Pydantic cannot check the type.
        """
        if (ready := self._types.get(id(declared))) is not None:
            return ready
        if isinstance(declared, str):
            raise TypeError(f"{declared[:80]!r} is text, not a type.")
        try:
            found = OutputType(declared)
        except (AttributeError, LookupError, SyntaxError, ValueError) as error:  # what Pydantic says to other values
            raise TypeError(f"{type(declared).__name__} is no type that Pydantic can check.") from error
        self._types[id(declared)] = found  # it keeps the type, so that no other one gets this id
        return found

    def declared(self, name: str) -> object:
        """Return the declared type of a step's output or of an input; None when it is not known."""
        source = self.steps.get(name)
        if source is None:
            model = self.pipeline.inputs
            field = model.model_fields.get(name) if model is not None else None
            return None if field is None else field.annotation
        try:
            return self.output_type(source).declared
        except TypeError:
            return None

    def declared_item(self, step: PipelineStep, name: str) -> object:
        """Return the declared type of what the parts of a step call `item`, `index`, `previous`...; None if unknown."""
        if name in ("index", bindings.ROUND):
            return int
        if name == bindings.PREVIOUS:
            return self.declared(step.name)
        path = DataPath.parse(step.for_each or "")
        return item_type(type_at(self.declared(path.root), path))

    def nearest_known(self, name: str, *, but: str = "") -> str:
        """Return " Did you mean 'x'?" for the step or input that is named most like `name`; "" when none is near.

        The step `but`, which cannot read itself, is not meant.
        """
        return self._suggestion(name, self.names, but)

    def nearest_step(self, name: str) -> str:
        """Return the same for the step that is named most like `name`."""
        return self._suggestion(name, self.steps.keys(), "")

    def below_root(self, path: DataPath) -> str:
        """Return a path without the `steps` or `inputs` before it, which only conditions have; empty without one.

        While the inputs are not known, any name may be one.
        """
        first = path.parts[0] if path.parts else None
        if not isinstance(first, str):
            return ""
        is_input = path.root == "inputs" and (self.inputs is None or first in self.inputs)
        is_step = path.root == "steps" and first in self.steps
        return str(DataPath(first, path.parts[1:])) if is_step or is_input else ""

    @property
    def has_suggestions(self) -> bool:
        """Whether unknown names are still compared with the known ones."""
        return len(self._nearest) < MOST_SUGGESTIONS

    def _suggestion(self, name: str, among: Set[str], but: str) -> str:
        key = (name, but, among is self.names)
        if key not in self._nearest:
            if not self.has_suggestions:
                return ""
            self._nearest[key] = nearest(name, among - {but})
        return self._nearest[key]

    @cached_property
    def graph(self) -> ExecutionGraph:
        """What the definition compiles to.

        Raises:
            DataPathError: If a path is malformed.
            ConditionError: If a condition cannot be read.
        """
        return ExecutionGraph.build(self.pipeline)

    @cached_property
    def branches(self) -> Branches:
        """Which steps run only if certain routes are taken; of a definition whose order is wrong nothing is known."""
        if all(step.routes is None for step in self.pipeline.steps):
            return Branches({}, {})
        try:
            return Branches.of(self.graph)
        except (DataPathError, ConditionError, CircularDependencyError):
            return Branches({}, {})

    @cached_property
    def step_types(self) -> dict[str, object]:
        """Step name -> the declared type of its output; None when it is not known."""
        return {name: self.declared(name) for name in self.steps}

    @cached_property
    def input_names(self) -> type[BaseModel] | Collection[str] | None:
        """The inputs as a model, as names, or None when they are not known."""
        return self.pipeline.inputs if self.pipeline.inputs is not None else self.inputs

    @cached_property
    def fallbacks(self) -> dict[str, list[str]]:
        """Step name -> the steps whose place it takes, should they fail."""
        takes: dict[str, list[str]] = {}
        for step in self.pipeline.steps:
            if step.on_error is not None and (fallback := bindings.fallback_of(step)) and fallback.step:
                takes.setdefault(fallback.step, []).append(step.name)
        return takes

    @cached_property
    def may_lack_output(self) -> frozenset[str]:
        """The steps that may be settled well without an output, so that others run without it."""
        found = [
            step.name
            for step in self.pipeline.steps
            if step.condition is not None
            or step.execution_mode == ExecutionMode.CONDITIONAL
            or step.enabled is not True
            or step.optional
            or step.name in self.fallbacks
        ]
        if not found:
            return frozenset()
        follow: dict[str, list[str]] = {}
        for step in self.pipeline.steps:
            for dep in step.depends_on:
                if isinstance(dep, Dependency) and dep.type is DependencyType.HARD and dep.on_skip == "skip":
                    follow.setdefault(dep.step, []).append(step.name)
        lacking = set(found)
        while found:
            reached = set(follow.pop(found.pop(), ())) - lacking
            lacking |= reached
            found.extend(reached)
        return frozenset(lacking)
