"""Functions of the user's that are called before and after each attempt at a step. They watch, and change nothing."""

import asyncio
import inspect
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from traceback import format_exception
from typing import TYPE_CHECKING, NoReturn

from pydantic_core import from_json, to_json

from tagent.pipeline.closing import is_at_work
from tagent.pipeline.kinds import StepStatus
from tagent.secrets import scrubbed
from tagent.values import value

if TYPE_CHECKING:
    from tagent.pipeline.context import StepContext
    from tagent.ports.services import Services

LONGEST_HOOK_SECONDS = 10.0
"""A hook that takes longer is given up: the run waits for it, and must not wait for ever."""

logger = logging.getLogger("tagent")


@value
class StepOutcome:
    """How an attempt ended.

    Attributes:
        status: Where the step stands now: WAITING if it is tried again, or waits for somebody. What goes on then begins
            once more for the hooks, with the same number.
        output: What it gave, as JSON values; None if nothing.
        code: Why it failed, for programs; empty if it did not.
        reason: The same for people.

    Example:
        >>> from tagent import run_pipeline
        >>> from tagent.pipeline import Pipeline
        >>> seen = []
        >>> def note(context, outcome: StepOutcome) -> None:
        ...     seen.append((context.step, outcome.status.value, outcome.output))
        >>> run_pipeline(Pipeline("p", after_step=[note]).step("facts", run=lambda: 7)).final_output, seen
        (7, [('facts', 'completed', 7)])
    """

    status: StepStatus
    output: object = None
    code: str = ""
    reason: str = ""


BeforeStep = Callable[["StepContext"], object]
"""Is given what the step will see. May be async."""

AfterStep = Callable[["StepContext", StepOutcome], object]
"""Is given what the step saw, and how the attempt ended. May be async."""


class Hooks:
    """The hooks of one run; false if there are none, so that nobody need make a context for them.

    They are called one after another, async ones on the loop, others in a thread. The context that each gets is not
    the step's: it keeps nothing, and reaches neither memory nor mail. What a hook raises is logged, and one that
    takes longer than `LONGEST_HOOK_SECONDS` is given up. Only a cancellation of the run passes through.

    Args:
        before: Called before each attempt.
        after: Called after each.
        services: Threads, and the clock that measures how long a hook takes.
    """

    def __init__(self, before: Sequence[BeforeStep], after: Sequence[AfterStep], services: "Services") -> None:
        self._before = tuple(before)
        self._after = tuple(after)
        self._services = services

    def __bool__(self) -> bool:
        return bool(self._before or self._after)

    async def before(self, context: "StepContext") -> None:
        """Call the hooks that come before an attempt, once its start is committed."""
        for hook in self._before:
            await self._call(hook, context)

    async def after(self, context: "StepContext", outcome: StepOutcome) -> None:
        """Call the hooks that come after an attempt, once its `outcome` is committed."""
        for hook in self._after:
            await self._call(hook, context, outcome)

    async def _call(self, hook: Callable[..., object], context: "StepContext", *outcome: StepOutcome) -> None:
        own = replace(context, reach=None, cancelled=False, facts=_NotKept(), memories=_NotKept())
        task = asyncio.current_task()
        try:
            async with self._services.clock.timeout(LONGEST_HOOK_SECONDS) as limit:
                await self._run(hook, own, *map(_copied, outcome))
        except asyncio.CancelledError:
            if _is_cancelled():
                raise
            _log(hook, context, "cancelled itself")
        except TimeoutError as error:
            if limit.expired():
                _log(hook, context, f"took longer than {LONGEST_HOOK_SECONDS:g} s")
            else:  # the hook's own
                _log(hook, context, "failed", error)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a hook never fails a run
            if isinstance(error, GeneratorExit) and not is_at_work(task):
                raise
            _log(hook, context, "failed", error)
        finally:
            own.cancelled = True

    async def _run(self, hook: Callable[..., object], *arguments: object) -> None:
        if inspect.iscoroutinefunction(hook):
            called: object = hook(*arguments)
        else:
            called = await self._services.threads.run(lambda: hook(*arguments))
        if inspect.isawaitable(called):
            await called


class _NotKept(dict[str, object]):
    """What a hook would learn or save: nobody would ever see it."""

    def __setitem__(self, key: str, value: object) -> NoReturn:
        raise TypeError("A hook learns and saves nothing: its step has begun or ended without it. Do it in the step.")


def _copied(outcome: StepOutcome) -> StepOutcome:
    """Return the outcome with a copy of its output: the run goes on with it, and no hook may change it."""
    return replace(outcome, output=from_json(to_json(outcome.output)))


def _is_cancelled() -> bool:
    """Return whether somebody wants this task to end, or the cancellation is the hook's own."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _log(hook: Callable[..., object], context: "StepContext", what: str, error: BaseException | None = None) -> None:
    """Say what a hook did, with the traceback of `error`, but without the secrets that it may hold."""
    name = getattr(hook, "__qualname__", type(hook).__name__)
    trace = "" if error is None else scrubbed("\n" + "".join(format_exception(error)).rstrip())
    place = (context.step, context.run_id)
    logger.error("The hook %s at the step %r of run %s %s; the run goes on.%s", name, *place, what, trace)
