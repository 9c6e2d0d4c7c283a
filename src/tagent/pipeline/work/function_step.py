"""A step that is a function: its parameters are filled by name, its return value is the output."""

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from pydantic import TypeAdapter, ValidationError

from tagent.exceptions import text_of
from tagent.pipeline.caching.making import made_of
from tagent.pipeline.context import StepContext
from tagent.pipeline.exceptions import StepInputError
from tagent.pipeline.plan import Plan
from tagent.pipeline.signatures import Parameter, signature_of
from tagent.pipeline.work.reading import RunReader
from tagent.pipeline.work.scope import WHOLE, Scope
from tagent.task_agent.attempt import Attempt
from tagent.threads import DaemonThreads, ThreadedCall


class FunctionStep:
    """A function, ready to be called in a run.

    Args:
        name: The step's name.
        function: What to call.
        reader: The run.
        threads: Where blocking functions run.
        scope: Which piece of the step's work it is.
        may_plan: Whether it may change the steps of the run.
        abandoned: Where calls that are given up are noted; None for a list of its own.

    Attributes:
        abandoned: Blocking calls of it that were given up and may still run.
        is_whole: True: an attempt does all of it.
    """

    is_whole = True

    def __init__(
        self,
        name: str,
        function: Callable[..., object],
        reader: RunReader,
        threads: DaemonThreads,
        *,
        scope: Scope = WHOLE,
        may_plan: bool = False,
        abandoned: list[ThreadedCall] | None = None,
    ) -> None:
        self._name = name
        self._function = function
        self._signature = signature_of(function)
        self._reader = reader
        self._threads = threads
        self._scope = scope
        self._may_plan = may_plan
        self.abandoned = [] if abandoned is None else abandoned

    async def run(self, attempt: Attempt) -> tuple[object, StepContext | None]:
        """Return what the function returns, and the context that it asked for.

        When this is cancelled, an async function is cancelled too; a blocking one is left to its thread,
        and its context says `cancelled`.
        """
        arguments, context = self._arguments(attempt)
        try:
            if self._signature.is_async:
                return await self._function(**arguments), context  # type: ignore[misc]  # just asked
            return await self._call_in_thread(arguments), context
        finally:
            if context is not None:
                context.cancelled = True

    async def made_of(self) -> object:
        """Return the function's code, and what that is bound to and reads of its program.

        Raises:
            UnkeyableError: If it is bound to something that is neither data nor code.
        """
        return made_of(self._function)

    async def reads(self, attempt: Attempt) -> object:
        """Return what its parameters are filled with; with a context, also all that it can see in that but mail."""
        reader, name, part = self._reader, self._name, self._scope.part
        parameters = self._signature.parameters
        wanted = [it.name for it in parameters if not it.is_context]
        known = reader.known(name, self._scope, names=wanted)
        told = {one: known[one] for one in wanted if one in known}  # their order is part of the key
        if self._signature.takes_the_rest:
            told = {**reader.plain_outputs_before(name, part), **told}
        if any(it.is_context for it in parameters):
            answer = self._context(attempt).approval
            said = None if answer is None else [answer.actor, answer.comment]
            told |= {"inputs of the run": reader.plain_inputs(), "shared": dict(reader.shared(name, part))}
            told |= {"step": name, "part": part, "approval": said}
        return told

    def _arguments(self, attempt: Attempt) -> tuple[dict[str, object], StepContext | None]:
        """Return what the function is called with, and the context if that is among it."""
        arguments: dict[str, object] = {}
        context: StepContext | None = None
        reader, given = self._reader, self._scope.given
        inputs: Mapping[str, object] | None = None
        for parameter in self._signature.parameters:
            name = parameter.name
            if parameter.is_context:
                arguments[name] = context = context or self._context(attempt)
                continue
            if name in given:
                value = given[name]
            elif reader.may_read(self._name, name, self._scope.part):
                value = reader.output_of(name)
            else:
                inputs = reader.inputs() if inputs is None else inputs
                if name not in inputs:
                    self._require_optional(parameter)
                    continue
                value = inputs[name]
            arguments[name] = value if parameter.adapter is None else self._converted(name, value, parameter.adapter)
        if self._signature.takes_the_rest:
            for name, value in self._reader.outputs_before(self._name, self._scope.part).items():
                arguments.setdefault(name, value)
        return arguments, context

    def _context(self, attempt: Attempt) -> StepContext:
        context = self._reader.context(self._name, attempt, self._scope.part)
        if self._may_plan:
            context.planned = Plan(self._reader.default_mode)
        return context

    def _require_optional(self, parameter: Parameter) -> None:
        """Check that a parameter for which there is nothing does not need the output of a step.

        Raises:
            StepInputError: If it does.
        """
        if parameter.is_required and parameter.name in self._reader.output_types and parameter.is_nameable:
            message = f"The step {self._name!r} needs the output of {parameter.name!r}, and there is none."
            raise StepInputError(self._name, message)

    def _converted(self, parameter: str, value: object, adapter: TypeAdapter[Any]) -> object:
        """Return what a parameter is given as its annotation: "3" for an `int` is 3, a dict for a model the model."""
        try:
            return adapter.validate_python(value, by_alias=True, by_name=True)
        except ValidationError as error:
            message = (
                f"What the parameter {parameter!r} of the step {self._name!r} is given does not fit: {text_of(error)}."
            )
            raise StepInputError(self._name, message) from None

    async def _call_in_thread(self, arguments: dict[str, object]) -> object:
        value = await self._threads.run(partial(self._function, **arguments), on_abandon=self.abandoned.append)
        return await value if inspect.isawaitable(value) else value
