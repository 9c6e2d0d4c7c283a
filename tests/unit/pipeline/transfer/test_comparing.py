"""Two runs side by side: where their steps stand and why, and what became of their parts."""

from collections.abc import Collection

from builders import returning, services
from tagent.adapters.storage.memory import MemoryStore
from tagent.pipeline import ExecutionMode, Pipeline, PipelineExecutor
from tagent.pipeline.transfer.comparing import compare_runs


async def test_runs_differ_in_codes_and_in_what_became_of_parts() -> None:
    """The same status may have another cause, and the same output may lack other items."""

    def pipeline(broken: Collection[int], limit: int) -> Pipeline:
        def item_of(item: int) -> int:
            if item in broken:
                raise TypeError("no")
            return item

        made = Pipeline("p", on_failure="fail_fast").step("n", run=returning([1, 2, 3]))
        made.step(
            "x",
            run=item_of,
            for_each="n",
            execution_mode=ExecutionMode.PARALLEL_MERGE,
            min_success=1,
            merge=lambda outputs: "merged",
            max_retries=0,
        )
        made.step("left", run=returning(1), condition=f"steps.n[0] > {limit}", depends_on=["x"])
        made.step("end", run=(lambda: 1 / 0) if limit else returning(1), max_retries=0, depends_on=["left"])
        return made.step("last", run=returning(1), depends_on=["left"])

    opened = services(store=MemoryStore())
    for broken, limit in (([], 5), ([2, 3], 0)):
        await PipelineExecutor(pipeline(broken, limit), services=opened).execute()
    found = await compare_runs(opened.store, "run-1", "run-2")
    assert (found.statuses, found.codes) == (("failed", "completed"), ("run.fail_fast", ""))
    steps = {step.step: step for step in found.steps}
    assert steps["n"].is_equal
    assert (steps["x"].is_output_equal, steps["x"].is_equal) == (True, False)
    assert (steps["x"].before.parts, steps["x"].after.parts) == ({"completed": 3}, {"failed": 2, "completed": 1})
    assert (steps["left"].before.code, steps["left"].after.code) == ("condition_false", "")
