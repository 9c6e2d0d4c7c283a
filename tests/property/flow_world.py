"""The pipeline of a plan, and the world in which it runs: what its functions did, whatever process they ran in."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from property.flow_plans import ConditionPlan, DepPlan, FlowPlan, StepPlan, WorkPlan
from tagent.pipeline import Dependency, DependencyType, Pipeline, RetryPolicy, StepContext
from tagent.pipeline.models import Fallback, Work
from tagent.ports import ModelRequest
from tagent.testing import ManualClock, ScriptedModel

INPUTS: Mapping[str, object] = {"on": True, "off": False, "things": [4, 5, 6]}
SUBSTITUTE: Mapping[str, object] = {"n": 3, "valid": True, "items": [1, 2], "saw": {}}
THRESHOLD = 2
BRANCHES = 3

Worker = Callable[..., Awaitable[object]]
_ASKED = re.compile(r"the step 's(\d+)'")
_PATHS = {"data": "n", "item": "items[1]", "list": "items"}


def number_of(output: object) -> int:
    """Return the number that stands for an output."""
    if isinstance(output, dict) and "n" in output:
        return int(output["n"])
    return len(output) if isinstance(output, dict | list) else int(str(output))


def output_of(place: int, seen: Mapping[str, object]) -> dict[str, object]:
    """Return what a step gives that sees these outputs: it tells of all of them."""
    saw = {name: number_of(seen[name]) for name in sorted(seen)}
    n = (place + sum(saw.values())) % 7
    return {"n": n, "valid": n % 3 != 0, "items": list(range(n % 4)), "saw": saw}


def part_output(place: int, item: int, index: int) -> int:
    """Return what a part gives."""
    return place + 10 * index + item


def holds_for(seen: Mapping[str, object]) -> bool:
    """Return what a condition that is a function says of the outputs that it sees."""
    return sum(map(number_of, seen.values())) % 3 != 1


def passes(output: object) -> bool:
    """Return what a check that is a function says of an output."""
    return number_of(output) % 2 == 0


@dataclass(frozen=True)
class Effect:
    """An attempt that really began: `part` is empty for the step itself."""

    step: str
    part: str
    attempt: int


@dataclass
class World:
    """What outlives every process.

    Attributes:
        clock: Its time.
        begun: The attempts that began, in order.
        undone: The steps whose compensations came to their end, in order.
        saw: Step and attempt -> the steps whose outputs it was given, for each time that it ran.
    """

    clock: ManualClock = field(default_factory=ManualClock)
    begun: list[Effect] = field(default_factory=list)
    undone: list[str] = field(default_factory=list)
    saw: dict[tuple[str, int], list[tuple[str, ...]]] = field(default_factory=dict)

    async def work(self, context: StepContext, plan: WorkPlan) -> None:
        """Behave as planned.

        Raises:
            RuntimeError: In its first attempts.
            TypeError: If it is broken.
        """
        self.begun.append(Effect(context.step, context.part, context.attempt))
        for _ in range(plan.turns):
            await asyncio.sleep(0)
        if plan.seconds:
            await self.clock.sleep(plan.seconds)
        if plan.is_broken:
            raise TypeError("broken")
        if context.attempt <= plan.failures:
            raise RuntimeError("flaky")

    def pipeline(self, flow: FlowPlan) -> Pipeline:
        """Return the pipeline of a plan."""
        pipeline = Pipeline("generated", on_failure=flow.on_failure)
        for place, (name, plan) in enumerate(flow):
            pipeline.step(
                name,
                run=self._whole(place, plan),
                depends_on=[_dependency(dep) for dep in plan.deps],
                execution_mode=plan.mode,
                max_retries=plan.max_retries,
                retry=RetryPolicy(base_seconds=1, jitter=False),
                enabled={"yes": True, "no": False}.get(plan.enabled, f"inputs.{plan.enabled}"),
                optional=plan.is_optional,
                on_error=_on_error(place, plan),
                compensate=None
                if plan.compensation is None or flow.on_failure != "rollback"
                else self._undo(plan.compensation),
                condition=None if plan.condition is None else self._condition(plan.condition),
                constraints=["Only if all is well."] if plan.condition and plan.condition.kind == "model" else [],
                branches=self._branches(place, plan),
                for_each=_list_of(plan),
                merge=None if plan.parts is None or plan.parts.merge == "default" else self._merge(place, plan),
                max_concurrency=16 if plan.parts is None or plan.parts.shape == "none" else plan.parts.max_concurrency,
                min_success=None if plan.parts is None or plan.parts.shape == "none" else plan.parts.min_success,
            )
        return pipeline

    def model(self, flow: FlowPlan) -> ScriptedModel:
        """Return the model that judges conditions."""

        def answer(request: ModelRequest) -> object:
            found = _ASKED.search("\n".join(message.content for message in request.messages))
            assert found is not None
            condition = flow.steps[int(found[1])].condition
            assert condition is not None
            if condition.holds is None:
                raise AttributeError("The model has no answer.")
            return {"reason": "So the model says.", "holds": condition.holds}

        return ScriptedModel(answer)

    def _whole(self, place: int, plan: StepPlan) -> Worker | None:
        parts = plan.parts
        if parts is not None and parts.shape in {"items", "things"}:

            async def of_item(context: StepContext, item: int, index: int) -> object:
                await self.work(context, parts.works[index % len(parts.works)])
                return part_output(place, item, index)

            return of_item
        if parts is not None:
            return None

        async def whole(context: StepContext, **outputs: object) -> object:
            self.saw.setdefault((context.step, context.attempt), []).append(tuple(sorted(outputs)))
            await self.work(context, plan.work)
            return output_of(place, outputs)

        return whole

    def _branches(self, place: int, plan: StepPlan) -> dict[str, Work] | list[Work] | None:
        parts = plan.parts
        if parts is None or parts.shape not in {"branches", "named"}:
            return None

        def branch(index: int, work: WorkPlan) -> Worker:
            async def of_branch(context: StepContext) -> object:
                await self.work(context, work)
                return part_output(place, 0, index)

            return of_branch

        made: list[Work] = [branch(index, parts.works[index % len(parts.works)]) for index in range(BRANCHES)]
        return made if parts.shape == "branches" else {f"b{index}": work for index, work in enumerate(made)}

    def _merge(self, place: int, plan: StepPlan) -> Worker:
        async def merged(parts: dict[str, object] | list[object]) -> object:
            if plan.parts is not None and plan.parts.merge == "broken":
                raise RuntimeError("It cannot be merged.")
            named = parts if isinstance(parts, dict) else {str(index): part for index, part in enumerate(parts)}
            return output_of(place, named)

        return merged

    def _condition(self, plan: ConditionPlan) -> str | Worker | None:
        match plan.kind:
            case "text":
                return f"steps.s{plan.source}.n > {THRESHOLD}"
            case "has":
                return f"has(steps.s{plan.source}) && steps.s{plan.source}.n > {THRESHOLD}"
            case "on" | "off":
                return f"inputs.{plan.kind}"
            case "model":
                return None
            case _:

                async def condition(context: StepContext, **outputs: object) -> bool:
                    await self.work(context, plan.work)
                    if plan.kind == "writing":
                        context.memory.run.put(context.step, sorted(outputs))
                    return holds_for(outputs)

                return condition

    def _undo(self, plan: WorkPlan) -> Worker:
        async def undo(context: StepContext) -> None:
            await self.work(context, plan)
            self.undone.append(context.step)

        return undo


async def passes_later(output: object) -> bool:
    """Return what `passes` does."""
    return passes(output)


def _dependency(dep: DepPlan) -> Dependency:
    name = f"s{dep.source}"
    match dep.kind:
        case "hard":
            return Dependency(name)
        case "skip":
            return Dependency(name, on_skip="skip")
        case "soft":
            return Dependency(name, DependencyType.SOFT)
        case "patient":
            return Dependency(name, DependencyType.SOFT, wait_seconds=dep.wait_seconds)
        case "valid":
            return Dependency(name, DependencyType.VALIDATION)
        case "check":
            return Dependency(name, DependencyType.VALIDATION, check=f"output.n > {THRESHOLD}")
        case "asked":
            return Dependency(name, DependencyType.VALIDATION, check=passes_later)
        case _:
            return Dependency(name, DependencyType.DATA, path=_PATHS[dep.kind])


def _on_error(place: int, plan: StepPlan) -> str | Fallback | None:
    match plan.fallback:
        case "output":
            return Fallback(output=SUBSTITUTE)
        case "step":
            return f"s{place + 1}"
        case _:
            return None


def _list_of(plan: StepPlan) -> str | None:
    if plan.parts is None:
        return None
    return {"items": f"s{plan.parts.source}.items", "things": "things"}.get(plan.parts.shape)
