"""The pipeline of a plan, and the world in which it runs: what its functions did, whatever process they ran in."""

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from property.flow_kept import KEPT, added
from property.flow_plans import (
    ConditionPlan,
    DepPlan,
    FlowPlan,
    RoundsPlan,
    StepPlan,
    WorkPlan,
    place_of_added,
)
from property.flow_values import (
    BRANCHES,
    SUBSTITUTE,
    THRESHOLD,
    holds_for,
    output_of,
    part_output,
    passes,
    round_output,
    route_of,
)
from tagent.budget import Budget
from tagent.pipeline import Dependency, DependencyType, ExecutionMode, Pipeline, RetryPolicy, StepContext
from tagent.pipeline.approval import Approval
from tagent.pipeline.models import Fallback, Work
from tagent.ports import ModelRequest
from tagent.testing import ManualClock, ScriptedModel

Worker = Callable[..., Awaitable[object]]
_ASKED = re.compile(r"the step '(\w+)'")
_PATHS = {"data": "n", "item": "items[1]", "list": "items"}
APPROVED = "approved:"
"""How the keys of what is written begin that counts with a yes only."""

_RETRY = RetryPolicy(base_seconds=1, jitter=False)


@dataclass(frozen=True)
class Effect:
    """An attempt that really began: `work` is the key that it has in the run."""

    work: str
    attempt: int


@dataclass
class World:
    """What outlives every process.

    Attributes:
        clock: Its time.
        begun: The attempts that began, in order.
        undone: The steps whose compensations came to their end, in order.
        saw: The key of a step and an attempt -> the steps whose outputs it was given, for each time that it ran.
        asked: The steps of whose conditions the model was asked -> how often.
        computed: The number of a work whose output is kept -> how often it was done.
        known: Step name -> its plan, and the place that it has there.
    """

    clock: ManualClock = field(default_factory=ManualClock)
    begun: list[Effect] = field(default_factory=list)
    undone: list[str] = field(default_factory=list)
    saw: dict[tuple[str, int], list[tuple[str, ...]]] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    computed: Counter[int] = field(default_factory=Counter)
    known: dict[str, tuple[FlowPlan, int]] = field(default_factory=dict)

    async def work(self, context: StepContext, plan: WorkPlan) -> None:
        """Behave as planned.

        Raises:
            RuntimeError: In its first attempts.
            TypeError: If it is broken.
        """
        self.begun.append(Effect(context.idempotency_key, context.attempt))
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
        name = "generated" if flow.prefix == "s" else flow.prefix
        final = None if flow.final is None else flow.name(flow.final)
        pipeline = Pipeline(name, on_failure=flow.on_failure, final=final)
        for place, (name, plan) in enumerate(flow):
            self.known[name] = (flow, place)
            for part in plan.change.parts if plan.change is not None else ():
                new = place_of_added(place, part)
                self.known[flow.name(new)] = (flow, new)
            pipeline.step(
                name,
                depends_on=[_dependency(flow, dep) for dep in plan.deps if dep.kind != "route"],
                execution_mode=plan.mode,
                max_retries=plan.max_retries,
                retry=_RETRY,
                timeout=plan.timeout,
                budget=None if plan.deadline is None else Budget(deadline_seconds=plan.deadline),
                enabled={"yes": True, "no": False}.get(plan.enabled, f"inputs.{plan.enabled}"),
                optional=plan.is_optional,
                on_error=_on_error(flow, place, plan),
                compensate=None
                if plan.compensation is None or flow.on_failure != "rollback"
                else self._undo(plan.compensation),
                condition=None if plan.condition is None else self._condition(flow, plan.condition),
                constraints=["Only if all is well."] if plan.condition and plan.condition.kind == "model" else [],
                **self._parts(flow, place, plan),
                **self._work(flow, place, plan),
                **_approval(plan),
            )
        return pipeline

    def model(self) -> ScriptedModel:
        """Return the model that judges conditions."""

        def answer(request: ModelRequest) -> object:
            found = _ASKED.search("\n".join(message.content for message in request.messages))
            assert found is not None
            flow, place = self.known[found[1]]
            condition = flow.steps[place].condition
            assert condition is not None
            self.asked[found[1]] += 1
            if condition.holds is None:
                raise AttributeError("The model has no answer.")
            return {"reason": "So the model says.", "holds": condition.holds}

        return ScriptedModel(answer)

    def _work(self, flow: FlowPlan, place: int, plan: StepPlan) -> dict[str, Any]:
        """Return the options that say what a step does."""
        options: dict[str, Any] = {}
        if plan.rounds is not None:
            options |= self._rounds(flow, plan.rounds)
        if plan.inner is not None:
            return options | {"pipeline": self.pipeline(plan.inner), "inputs": inputs_of(plan)}
        router = plan.router
        if router is not None:
            to = {route: [flow.name(it) for it in places] for route, places in flow.routes_of(place).items()}
            options |= {"routes": {route: names[0] if len(names) == 1 else names for route, names in to.items()}}
            if router.kind == "when":
                assert router.condition is not None
                return options | {"when": self._condition(flow, router.condition)}
            if router.kind == "switch":
                return options | {"switch_on": f"{flow.name(router.source)}.{router.field}"}
        if plan.cache is not None:
            return options | {
                "run": KEPT[plan.cache.number],
                "cache": "forever" if plan.cache.is_forever else "run",
            }
        return options | {"run": self._whole(flow, place, plan)}

    def _rounds(self, flow: FlowPlan, plan: RoundsPlan) -> dict[str, Any]:
        async def reached(round: int) -> bool:  # noqa: A002 - that is what it is called
            return round >= plan.reached_in

        until = {"text": f"output.round >= {plan.reached_in}", "vain": "inputs.off", "function": reached, "none": None}
        kept = {"if_not_reached": "keep"} if plan.is_kept else {}
        return {"until": until[plan.until], "max_times": plan.max_times, **kept}

    def _whole(self, flow: FlowPlan, place: int, plan: StepPlan) -> Worker | None:
        parts = plan.parts
        if parts is not None and parts.shape in {"items", "things"}:

            async def of_item(context: StepContext, item: int, index: int) -> object:
                await self.work(context, parts.works[index % len(parts.works)])
                change_steps(context, flow, place, index)
                return part_output(place, item, index)

            return of_item
        if parts is not None:
            return None
        if (rounds := plan.rounds) is not None:

            async def of_round(context: StepContext, round: int, previous: object = None, **outputs: object) -> object:  # noqa: A002
                await self.work(context, rounds.works[(round - 1) % len(rounds.works)])
                change_steps(context, flow, place, round - 1)
                return round_output(place, outputs, previous, round)

            return of_round

        async def whole(context: StepContext, seed: object = None, **outputs: object) -> object:
            key = context.idempotency_key, context.attempt
            self.saw.setdefault(key, []).append(tuple(sorted(outputs)))
            await self.work(context, plan.work)
            if plan.approval is not None and plan.approval.of == "output":
                context.memory.run.put(f"{APPROVED}{context.step}", context.attempt)
            change_steps(context, flow, place, 0)
            return output_of(place, outputs, seed) if plan.router is None else route_of(outputs)

        return whole

    def _parts(self, flow: FlowPlan, place: int, plan: StepPlan) -> dict[str, Any]:
        """Return the options of a step with parts."""
        parts = plan.parts
        if parts is None:
            return {}
        merge = {} if parts.merge == "default" else {"merge": self._merge(place, plan)}
        if parts.shape == "none":
            return merge
        listed = {"items": f"{flow.name(parts.source)}.items", "things": "things"}.get(parts.shape)
        return merge | {
            "branches": self._branches(flow, place, plan),
            "for_each": listed,
            "max_concurrency": parts.max_concurrency,
            "min_success": parts.min_success,
        }

    def _branches(self, flow: FlowPlan, place: int, plan: StepPlan) -> dict[str, Work] | list[Work] | None:
        parts = plan.parts
        if parts is None or parts.shape not in {"branches", "named"}:
            return None

        def branch(index: int, work: WorkPlan) -> Worker:
            async def of_branch(context: StepContext) -> object:
                await self.work(context, work)
                change_steps(context, flow, place, index)
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

    def _condition(self, flow: FlowPlan, plan: ConditionPlan) -> str | Worker | None:
        source = flow.name(plan.source)
        match plan.kind:
            case "text":
                return f"steps.{source}.n > {THRESHOLD}"
            case "has":
                return f"has(steps.{source}) && steps.{source}.n > {THRESHOLD}"
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


def inputs_of(plan: StepPlan) -> dict[str, str]:
    """Return where the pipeline inside a step has its inputs from."""
    seed = "round" if plan.rounds is not None else "item" if plan.parts is not None else ""
    return {"on": "on", "off": "off", "things": "things", **({"seed": seed} if seed else {})}


def change_steps(context: StepContext, flow: FlowPlan, place: int, part: int) -> None:
    """Have a part of a step, or the step itself as part 0, change other steps as planned."""
    change = flow.steps[place].change
    if change is None or part not in change.parts:
        return
    plan, own, new = context.plan, flow.name(place), flow.name(place_of_added(place, part))
    is_first = part == change.parts[0]
    target = None if change.target is None else flow.name(change.target)
    if change.adds:
        plan.step(
            new,
            run=added,
            depends_on=[own] if change.waits else [],
            execution_mode=ExecutionMode.CONCURRENT,
            max_retries=1,
            retry=_RETRY,
        )
    if target is not None:
        if change.is_linked:
            plan.depend(target, on=new)
        if change.is_unlinked and is_first:
            plan.undepend(target, on=own)
        if change.enabled is not None and is_first:
            (plan.enable if change.enabled else plan.disable)(target)
    match change.is_wrong if change.is_refused(part) else "":
        case "name":
            plan.disable("nobody")
        case "started":
            plan.disable(own)
        case "cycle" if target is not None:
            plan.depend(target, on=target)
        case _:
            pass


def _approval(plan: StepPlan) -> dict[str, Any]:
    approval = plan.approval
    if approval is None:
        return {}
    timeout = 2.0 if approval.answer == "late" else None
    if timeout is None and approval.of == "output":
        return {"approval": "output"}
    return {"approval": Approval(approval.of, "Really?", timeout, approval.default)}


def _dependency(flow: FlowPlan, dep: DepPlan) -> Dependency:
    name = flow.name(dep.source)
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


def _on_error(flow: FlowPlan, place: int, plan: StepPlan) -> str | Fallback | None:
    match plan.fallback:
        case "output":
            return Fallback(output=SUBSTITUTE)
        case "step":
            return flow.name(place + 1)
        case _:
            return None
