"""Branches: `when`, `switch` and outputs that name a route decide which steps run."""

from collections.abc import Mapping
from contextlib import suppress
from enum import StrEnum
from typing import Literal

import pytest
from pydantic import BaseModel

from builders import Ran, raising, returning, run, services
from crashes import Crash, CrashingStore, everybody_is_gone
from tagent.adapters.storage.memory import MemoryStore
from tagent.config import TAgentConfig
from tagent.pipeline import (
    Dependency,
    DependencyType,
    ExecutionMode,
    Fallback,
    Pipeline,
    PipelineError,
    PipelineExecutor,
    PipelineStep,
    RunStatus,
    field,
    switch,
    when,
)
from tagent.pipeline.events import StepCompleted, StepStarted
from tagent.pipeline.resuming import resume_run
from tagent.testing import ScriptedModel

NOT_TAKEN = "branch_not_taken"


class Kind(StrEnum):
    """What a mail is about."""

    REFUND = "refund"
    BUG = "bug"


class Mail(BaseModel):
    """What is known of a mail."""

    kind: str
    is_urgent: bool = False
    priority: int = 1


def with_steps(pipeline: Pipeline, *names: str) -> Pipeline:
    """Return `pipeline` with steps that give their own names."""
    for name in names:
        pipeline.step(name, run=returning(name))
    return pipeline


def split(amount: int = 40) -> Pipeline:
    """Return a pipeline that asks for large amounts and pays small ones."""
    pipeline = Pipeline("p").step("order", run=returning({"amount": amount}))
    pipeline.add_step(when("steps.order.amount > 100", name="large").then("ask").otherwise("pay"))
    return with_steps(pipeline, "ask", "pay")


def codes(ran: Ran) -> Mapping[str, str]:
    """Return step name -> why it did not run."""
    return {name: meta["code"] for name, meta in ran.result.step_metadata.items() if meta["code"]}


async def test_a_condition_that_holds_starts_its_steps_and_leaves_the_others_out() -> None:
    """The plainest branch there is; both ways."""
    small, large = await run(split(40)), await run(split(400))
    assert (small.result.final_output, codes(small)) == ("pay", {"ask": NOT_TAKEN})
    assert (large.result.final_output, codes(large)) == ("ask", {"pay": NOT_TAKEN})
    assert small.result.success
    assert small.result.step_metadata["ask"]["reason"] == "The step 'large' chose 'otherwise'."
    assert small.result.step_outputs == {"order": {"amount": 40}, "large": "otherwise", "pay": "pay"}


async def test_a_missing_way_leads_nowhere() -> None:
    """Most conditions have nothing to do otherwise."""
    for routes in ({"then": ["a"]}, {"then": ["a"], "otherwise": []}):
        step = PipelineStep(name="w", when="1 > 2", routes=routes)
        ran = await run(with_steps(Pipeline("p").add_step(step), "a", "b"))
        assert codes(ran) == {"a": NOT_TAKEN}
        assert ran.result.final_output == "b"


async def test_conditions_of_branches_are_texts_fields_or_functions() -> None:
    """What a step's own condition may be, a branch's may be too."""

    async def is_large(order: dict[str, int], least: int = 100) -> bool:
        return order["amount"] > least

    for condition in ("steps.order.amount > 100", field("order.amount") > 100, is_large):
        for amount, expected in ((40, "b"), (400, "a")):
            pipeline = Pipeline("p").step("order", run=returning({"amount": amount}))
            pipeline.add_step(when(condition).then("a").otherwise("b"))
            ran = await run(with_steps(pipeline, "a", "b"))
            assert ran.result.final_output == expected
            assert "when_2" in ran.result.step_outputs


async def test_a_condition_that_cannot_be_answered_fails_the_branching_step() -> None:
    """Neither way is a guess; nothing behind it runs."""

    async def vague(order: object) -> int:
        return 7

    for condition, code in (("steps.order.size > 100", "pipeline.condition"), (vague, "step.output")):
        pipeline = Pipeline("p").step("order", run=returning({"amount": 1}))
        pipeline.add_step(when(condition, name="w").then("a").otherwise("b"))
        ran = await run(with_steps(pipeline, "a", "b"))
        assert codes(ran) == {"w": code, "a": "upstream_failed", "b": "upstream_failed"}
        assert ran.result.status is RunStatus.FAILED


async def test_a_switch_takes_the_route_of_a_value() -> None:
    """Texts, bools and whole numbers are what people switch on; the output is the route."""
    routes: Mapping[str, Mapping[str, str]] = {
        "mail.kind": {"refund": "a", "bug": "b"},
        "mail.is_urgent": {"false": "a", "true": "b"},
        "mail.priority": {"1": "a", "2": "b"},
    }
    for mail, expected in ((Mail(kind="refund"), "a"), (Mail(kind="bug", is_urgent=True, priority=2), "b")):
        for path, to in routes.items():
            pipeline = Pipeline("p").step("mail", run=returning(mail), output_schema=Mail).add_step(switch(path, to))
            ran = await run(with_steps(pipeline, "a", "b"))
            assert ran.result.final_output == expected
            assert to[ran.result.step_outputs["switch_2"]] == expected


async def test_a_value_without_a_route_takes_the_default_or_fails() -> None:
    """A step that silently starts nothing would look like a success."""
    for default, expected in (("c", {"a": NOT_TAKEN}), (None, {"s": "step.route", "a": "upstream_failed"})):
        for value in ("bug", None, ["refund"], 1.5):
            pipeline = Pipeline("p").step("mail", run=returning({"kind": value}))
            pipeline.add_step(switch("mail.kind", {"refund": "a"}, default=default, name="s"))
            ran = await run(with_steps(pipeline, "a", "c"))
            assert codes(ran) == expected
            assert ran.statuses["c"] == "completed"


async def test_a_switch_may_look_at_an_input_and_start_several_steps() -> None:
    """What a run is given often says what it is to do."""
    pipeline = Pipeline("p").add_step(switch("kind", {"bug": ["fix", "test"], "refund": "pay"}))
    ran = await run(with_steps(pipeline, "fix", "test", "pay"), inputs={"kind": "bug"})
    assert codes(ran) == {"pay": NOT_TAKEN}


async def test_a_step_with_a_work_of_its_own_may_choose_too() -> None:
    """One call to a model classifies and decides."""
    model = ScriptedModel(lambda request: "bug")
    routes = {"refund": "pay", "bug": "fix"}
    for work in ({"goal": "Classify it", "output_schema": Literal["refund", "bug"]}, {"run": returning(Kind.BUG)}):
        pipeline = Pipeline("p").step("triage", routes=routes, **work)
        ran = await run(with_steps(pipeline, "pay", "fix"), model=model)
        assert codes(ran) == {"pay": NOT_TAKEN}
        assert ran.result.step_outputs["triage"] == "bug"


async def test_an_output_that_names_no_route_fails_the_step_itself() -> None:
    """The reader learns which output it was about, and it may have a fallback."""
    routes = {"bug": "fix"}
    pipeline = with_steps(Pipeline("p").step("triage", run=returning("praise"), routes=routes), "fix")
    ran = await run(pipeline)
    assert codes(ran) == {"triage": "step.route", "fix": "upstream_failed"}
    assert "'bug'" in ran.result.step_metadata["triage"]["reason"]
    assert ran.result.step_metadata["triage"]["attempts"] == 1
    fallback = Fallback(output="bug")
    pipeline = with_steps(Pipeline("p").step("triage", run=returning("x"), routes=routes, on_error=fallback), "fix")
    assert (await run(pipeline)).result.final_output == "fix"


@pytest.mark.parametrize(
    ("given", "told", "hint"),
    [
        ("praise", "'praise'", "say default="),
        ("a\nb" + 99 * "x", "'a\\nb" + 52 * "x" + "...", "say default="),
        ({"sort": "bug", "n": 1}, "{'sort': 'bug', 'n': 1}", "switch('mail.kind.sort', ...)"),
    ],
)
async def test_what_names_no_route_is_told_with_what_to_do(given: object, told: str, hint: str) -> None:
    """Whoever reads it need not look the value up; it is short, and in one line."""
    pipeline = Pipeline("p").step("mail", run=returning({"kind": given})).add_step(switch("mail.kind", {"bug": "fix"}))
    reason = (await run(with_steps(pipeline, "fix"))).result.step_metadata["switch_2"]["reason"]
    assert reason.startswith(f"The step 'switch_2' chooses by 'mail.kind', whose value {told} names none of its routes")
    assert hint in reason
    pipeline = with_steps(Pipeline("p").step("read", run=returning({"kind": given}), routes={"bug": "fix"}), "fix")
    assert (
        "Name the field that says it: switch('read.kind', ...)."
        in ((await run(pipeline)).result.step_metadata["read"]["reason"])
    )


async def test_what_takes_the_place_of_a_choosing_step_has_to_name_a_route_too() -> None:
    """Else no way would be taken, and the run would be called a success."""
    for given, expected in (("bug", "fix"), ("praise", None)):
        pipeline = Pipeline("p").step("triage", run=raising(ValueError("x")), routes={"bug": "fix"}, on_error="guess")
        with_steps(pipeline.step("guess", run=returning(given)), "fix")
        ran = await run(pipeline)
        assert ran.result.step_outputs.get("fix") == expected
        assert ran.result.success is (expected is not None)


async def test_a_choice_that_was_made_before_is_used_again() -> None:
    """A cached classification leads the same way as a fresh one."""
    opened, calls = services(), []

    async def triage(text: str) -> str:
        calls.append(text)
        return "bug"

    for _ in range(2):
        pipeline = Pipeline("p").step("triage", run=triage, routes={"bug": "fix", "other": "pay"}, cache="forever")
        with_steps(pipeline, "fix", "pay")
        result = await PipelineExecutor(pipeline, inputs={"text": "It crashes"}, services=opened).execute()
        assert result.step_metadata["pay"]["code"] == NOT_TAKEN
    assert calls == ["It crashes"]


async def test_a_pipeline_inside_a_step_may_choose_and_be_chosen() -> None:
    """Branches of an inner pipeline are its own."""
    inner = Pipeline("inner").add_step(when("inputs.n > 1").then("yes").otherwise("no"))
    inner.step("yes", run=returning("yes")).step("no", run=returning("no"))
    for n, expected in ((1, "b"), (2, "a")):
        pipeline = Pipeline("p").step("choose", pipeline=inner, inputs={"n": "n"}, routes={"yes": "a", "no": "b"})
        ran = await run(with_steps(pipeline, "a", "b"), inputs={"n": n})
        assert ran.result.final_output == expected
    pipeline = Pipeline("p").add_step(when("1 > 2").then("inside").otherwise("b"))
    ran = await run(with_steps(pipeline.step("inside", pipeline=inner, inputs={"n": "n"}), "b"), inputs={"n": 1})
    assert codes(ran) == {"inside": NOT_TAKEN}


async def test_what_is_behind_a_branch_is_left_out_with_it() -> None:
    """A branch is often several steps, one behind the other."""
    pipeline = split(40)
    pipeline.step("asked", run=lambda ask: f"{ask}ed").step("noted", run=returning("n"), depends_on=["asked"])
    ran = await run(pipeline)
    assert codes(ran) == {"ask": NOT_TAKEN, "asked": NOT_TAKEN, "noted": NOT_TAKEN}
    assert ran.result.step_metadata["asked"]["reason"] == "The step 'ask' before it is of a branch that was not taken."
    assert ran.result.final_output == "pay"
    assert ran.result.success


async def test_branches_join_again() -> None:
    """Whichever way a run went, what comes behind both goes on with what there is."""

    def told(ask: str | None = None, pay: str | None = None) -> list[str | None]:
        return [ask, pay]

    for amount, expected in ((40, [None, "pay"]), (400, ["ask", None])):
        ran = await run(split(amount).step("told", run=told))
        assert ran.result.final_output == expected


async def test_an_agent_behind_both_branches_is_told_which_was_left_out() -> None:
    """It must not make up what the other branch gave."""
    model = ScriptedModel(lambda request: "told")
    pipeline = split(40).step("told", "Tell of {ask} and {pay}", depends_on=["ask", "pay"])
    ran = await run(pipeline, model=model)
    assert ran.result.final_output == "told"
    assert "no output: this step was left out" in model.requests[0].messages[-1].content


async def test_a_step_that_needs_data_of_a_branch_runs_only_with_it() -> None:
    """Without its data it could only guess."""
    for amount, expected in ((400, "ask!"), (40, None)):
        pipeline = split(amount).step("sure", run=lambda ask, order: f"{ask}!")
        ran = await run(pipeline)
        assert ran.result.step_outputs.get("sure") == expected
        assert ran.result.success


async def test_a_soft_dependency_on_a_branch_does_not_take_a_step_out() -> None:
    """SOFT says: with or without it."""
    soft = [Dependency("ask", DependencyType.SOFT)]
    ran = await run(split(40).step("last", run=returning("last"), depends_on=soft))
    assert ran.result.final_output == "last"


async def test_a_branch_may_branch() -> None:
    """A decision behind a decision; the inner one is not even made where the outer one leads elsewhere."""

    def nested() -> Pipeline:
        pipeline = Pipeline("p").add_step(when("inputs.n > 0", name="outer").then("inner").otherwise("c"))
        pipeline.add_step(when("inputs.n > 10", name="inner").then("a").otherwise("b"))
        return with_steps(pipeline, "a", "b", "c")

    expected = {
        0: ("c", {"inner": NOT_TAKEN, "a": NOT_TAKEN, "b": NOT_TAKEN}),
        5: ("b", {"a": NOT_TAKEN, "c": NOT_TAKEN}),
        50: ("a", {"b": NOT_TAKEN, "c": NOT_TAKEN}),
    }
    for n, (output, left_out) in expected.items():
        ran = await run(nested(), inputs={"n": n})
        assert (ran.result.final_output, codes(ran)) == (output, left_out)


async def test_a_step_that_several_branches_lead_to_runs_once_if_one_is_taken() -> None:
    """Two reasons to do it are no reason to do it twice."""
    for n, expected in ((1, NOT_TAKEN), (3, None), (5, None)):
        pipeline = Pipeline("p").add_step(when("inputs.n > 2").then("a")).add_step(when("inputs.n > 4").then("a"))
        ran = await run(with_steps(pipeline, "a", "b"), inputs={"n": n})
        assert codes(ran).get("a") == expected
        assert len([it for it in ran.events if isinstance(it, StepStarted) and it.step == "a"]) == (expected is None)


async def test_a_step_of_a_branch_waits_for_its_other_dependencies_too() -> None:
    """A route says whether, not when."""
    pipeline = Pipeline("p", default_mode=ExecutionMode.CONCURRENT)
    pipeline.add_step(when("1 < 2").then("last")).step("slow", run=returning(3))
    pipeline.step("last", run=lambda slow: slow + 1)
    ran = await run(pipeline)
    assert ran.result.final_output == 4
    failing = (
        Pipeline("p").add_step(when("1 < 2").then("last")).step("bad", run=raising(ValueError("x")), max_retries=0)
    )
    failing.step("last", run=returning(1), depends_on=["bad"])
    assert codes(await run(failing))["last"] == "upstream_failed"


async def test_a_branching_step_may_have_a_condition_and_be_skipped_itself() -> None:
    """A decision that is not made takes no way."""
    pipeline = Pipeline("p").add_step(PipelineStep(name="w", when="1 < 2", routes={"then": "a"}, condition="1 > 2"))
    ran = await run(with_steps(pipeline, "a", "b"))
    assert codes(ran) == {"w": "condition_false", "a": NOT_TAKEN}
    assert ran.result.success


async def test_a_branching_step_does_not_wait_its_turn() -> None:
    """It decides at once; a long SERIAL step somewhere else is no reason to hold a branch up."""
    assert when("1 < 2").execution_mode is ExecutionMode.CONCURRENT
    assert switch("a", {}).execution_mode is ExecutionMode.CONCURRENT


async def test_the_steps_of_a_branch_add_up_and_other_pipelines_are_not_changed() -> None:
    """The one that calls it in a loop loses nothing; a copy has routes of its own."""
    step = when("1 < 2").then("a").then("b", "c").otherwise("d")
    assert step.routes == {"then": ("a", "b", "c"), "otherwise": ("d",)}
    copied = Pipeline(Pipeline("p").add_step(step)).steps[0]
    assert copied == step
    step.otherwise("e")
    assert copied.routes == {"then": ("a", "b", "c"), "otherwise": ("d",)}
    with pytest.raises(PipelineError, match="PipelineStep is no name"):
        step.then(PipelineStep(name="f"))  # type: ignore[arg-type]  # the mistake that this is about


async def test_nameless_branching_steps_are_called_by_their_place() -> None:
    """A reader of the run finds them in the definition."""
    pipeline = Pipeline("p").step("a", run=returning(1)).add_step(when("1 < 2").then("a")).add_step(switch("a", {}))
    assert [step.name for step in pipeline.steps] == ["a", "when_2", "switch_3"]
    assert [step.name for step in Pipeline("p", steps=[switch("x", {}), when("1 < 2", name="w")]).steps] == [
        "switch_1",
        "w",
    ]


async def test_global_constraints_make_no_branching_step_wait() -> None:
    """It has no agent that would read them."""
    pipeline = Pipeline("p", global_constraints=["Mind {facts}"]).add_step(when("1 < 2").then("facts"))
    pipeline.step("facts", run=returning("f"))
    assert (await run(pipeline)).result.final_output == "f"


@pytest.mark.parametrize("is_written", [True, False])
async def test_after_a_crash_at_any_commit_the_way_stays_the_same(*, is_written: bool) -> None:
    """A decision that is on record is not made again, though it would turn out otherwise now."""
    for at in range(2, 12):
        asked: list[int] = []

        def is_first(asked: list[int] = asked) -> bool:
            asked.append(1)
            return len(asked) == 1

        pipeline = Pipeline("p").step("order", run=returning(1))
        pipeline.add_step(when(is_first, name="w").then("a").otherwise("b"))
        with_steps(pipeline, "a", "b").step("join", run=lambda a=None, b=None: [a, b])
        store = CrashingStore().arm(at, is_written=is_written)
        opened = everybody_is_gone(services(store=store))
        with suppress(Crash):
            await PipelineExecutor(pipeline, services=opened).execute()
        store.arm(10**9)
        result = await resume_run("run-1", opened, TAgentConfig(), pipeline=pipeline)
        # A decision that a crash cut off before it was on record is made again.
        assert result.final_output == (["a", None] if len(asked) == 1 else [None, "b"])
        assert result.success


async def test_a_run_that_failed_behind_a_branch_goes_on_there() -> None:
    """What was left out stays so; what was decided is not decided again."""
    store, asked = MemoryStore(), []

    async def decide() -> bool:
        asked.append(1)
        return True

    pipeline = Pipeline("p").add_step(when(decide).then("a").otherwise("b"))
    pipeline.step("a", run=raising(ValueError("x"), times=1), max_retries=0).step("b", run=returning("b"))
    ran = await run(pipeline, store=store)
    assert ran.result.status is RunStatus.FAILED
    result = await resume_run(ran.result.run_id, services(store=store), TAgentConfig(), pipeline=pipeline)
    assert (result.final_output, len(asked)) == ("mended", 1)
    assert result.step_metadata["b"]["code"] == NOT_TAKEN


async def test_the_choice_is_on_record() -> None:
    """Whoever reads the journal sees which way the run went."""
    ran = await run(split(40))
    [choice] = [it for it in ran.events if isinstance(it, StepCompleted) and it.step == "large"]
    assert choice.output == "otherwise"
