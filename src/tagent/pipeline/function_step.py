"""A step that is a function: its parameters are filled by name, its return value is the output."""

import inspect
from collections.abc import Callable
from functools import partial

from pydantic import ValidationError

from tagent.exceptions import text_of
from tagent.pipeline.bindings import signature_of
from tagent.pipeline.context import StepContext
from tagent.pipeline.exceptions import StepInputError
from tagent.pipeline.reading import RunReader
from tagent.task_agent.attempt import Attempt
from tagent.threads import DaemonThreads, ThreadedCall


class FunctionStep:
    """A function, ready to be called in a run.

    Attributes:
        abandoned: Blocking calls of it that were given up and may still run.
    """

    def __init__(self, name: str, function: Callable[..., object], reader: RunReader, threads: DaemonThreads) -> None:
        signature = signature_of(function)
        named = [p.name for p in signature.parameters if not p.is_context]
        self._name = name
        self._function = function
        self._is_async = signature.is_async
        self._reader = reader
        self._threads = threads
        self._contexts = [p.name for p in signature.parameters if p.is_context]
        self._outputs = [p for p in named if p != name and p in reader.output_types]
        self._inputs = [p for p in named if p == name or p not in reader.output_types]
        self._takes_the_rest = signature.takes_the_rest
        self._adapters = {p.name: p.adapter for p in signature.parameters if p.adapter is not None}
        self.abandoned: list[ThreadedCall] = []

    async def run(self, attempt: Attempt) -> tuple[object, StepContext | None]:
        """Return what the function returns, and the context that it asked for.

        When this is cancelled, an async function is cancelled too; a blocking one is left to its thread,
        and its context says `cancelled`.
        """
        reader = self._reader
        arguments = {name: reader.output_of(name) for name in self._outputs}
        if self._inputs:
            given = reader.inputs()
            arguments.update({name: given[name] for name in self._inputs if name in given})
        if self._takes_the_rest:
            arguments.update({n: v for n, v in reader.outputs_before(self._name).items() if n not in arguments})
        for name in self._adapters.keys() & arguments.keys():
            arguments[name] = self._converted(name, arguments[name])
        context = None
        if self._contexts:
            context = reader.context(self._name, attempt)
            arguments.update(dict.fromkeys(self._contexts, context))
        try:
            if self._is_async:
                return await self._function(**arguments), context  # type: ignore[misc]  # just asked
            return await self._call_in_thread(arguments), context
        finally:
            if context is not None:
                context.cancelled = True

    def _converted(self, parameter: str, value: object) -> object:
        """Return what a parameter is given as its annotation: "3" for an `int` is 3, a dict for a model the model."""
        try:
            return self._adapters[parameter].validate_python(value, by_alias=True, by_name=True)
        except ValidationError as error:
            message = (
                f"What the parameter {parameter!r} of the step {self._name!r} is given does not fit: {text_of(error)}."
            )
            raise StepInputError(self._name, message) from None

    async def _call_in_thread(self, arguments: dict[str, object]) -> object:
        value = await self._threads.run(partial(self._function, **arguments), on_abandon=self.abandoned.append)
        return await value if inspect.isawaitable(value) else value
