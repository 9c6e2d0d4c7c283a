"""What a run came to, as users see it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import PlainSerializer

from tagent.pipeline.course.telling_why import explanation
from tagent.pipeline.kinds import RunStatus
from tagent.ports.language_model import TokenUsage


@dataclass(frozen=True, slots=True)
class PipelineResult:
    """What a run came to.

    Attributes:
        pipeline_name: The pipeline.
        run_id: The run.
        status: Where it ended.
        success: Whether `status` is COMPLETED.
        execution_time: Seconds from start to end.
        code: Why the run ended before its steps did, or waits, for programs; else empty.
        reason: The same for people.
        total_cost: USD; the sum of the known prices, also of attempts that failed.
        unpriced_calls: Model calls whose price is unknown.
        cost_per_step: Step name -> USD.
        token_usage: Step name -> tokens and requests.
        step_outputs: Step name -> output, for every completed step, as its declared type. A large one
            that is not in memory any more is read from the run's store each time it is asked for.
        step_metadata: Step name -> `status`, `attempts`, `retry_count` (attempts after the first),
            `started_at` and `finished_at` (seconds since 1970-01-01 UTC, None if never),
            `execution_time` (seconds, without those in which it waited for its approval), `model`, `reason` and `code`
            (why it failed or was skipped), `cached` (whether its output came from a cache), `substituted_by` (whose
            output it has: a step, or `default`). Where it applies also `given_by` (the run from which its output was
            taken, or `by hand`), `added_by` (the step that has added it while the run went on), `optional` (True),
            `asked` (what somebody is asked about it: `of`, `question`, `at`, `due_at`, `default`),
            `approval` (what was said: `is_approved`, `actor`, `comment`, `at`, `by_default`, `is_edited`),
            `condition` (`holds` and `reason`: what the step's condition came to), `seen` (the SOFT dependencies whose
            outputs it saw) and `unseen` (the others -> where they stood: `failed`, `skipped`, `cancelled` or
            `not settled`), `part_count` (how many items or branches it has, or rounds at most) and `parts`: part -> the
            same of each that has begun; of a step or a part that runs a pipeline `steps`: step name -> the same of each
            step inside, with its `cost` in USD, part of that of the step.
        final_output: The output of the pipeline's `final` step, else of the last step on which no other depends, not
            counting those skipped with `branch_not_taken` or `not_selected`; None if that one did not complete, also
            for its own condition.
        learned_facts: What steps learned, by name.
        saved_memories: What steps saved, by key.

    Example:
        >>> from tagent import run_pipeline
        >>> from tagent.pipeline import Pipeline
        >>> result = run_pipeline(Pipeline("report").step("facts", run=lambda: {"hills": 7}))
        >>> result.success, result.final_output, result.step_metadata["facts"]["attempts"]
        (True, {'hills': 7}, 1)
    """

    pipeline_name: str
    run_id: str
    status: RunStatus
    success: bool
    execution_time: float
    code: str = ""
    reason: str = ""
    total_cost: float = 0.0
    unpriced_calls: int = 0
    cost_per_step: dict[str, float] = field(default_factory=dict)
    token_usage: dict[str, TokenUsage] = field(default_factory=dict)
    step_outputs: Annotated[Mapping[str, Any], PlainSerializer(dict)] = field(default_factory=dict)
    step_metadata: dict[str, dict[str, Any]] = field(default_factory=dict)
    final_output: Any = None
    learned_facts: dict[str, Any] = field(default_factory=dict)
    saved_memories: dict[str, Any] = field(default_factory=dict)

    def explain(self) -> str:
        """Return why the run came to this, in lines: the run, then each step that did not simply complete.

        Named are the steps that were skipped, failed, cancelled or undone, those that have another one's output, those
        that wait for somebody's approval or have it,
        those that ran because their condition holds, and those that went on without what they wait for only SOFT; of
        failed parts the first ones. Last come the steps that were added, and those whose outputs were there already.

        Example:
            >>> from tagent import run_pipeline
            >>> from tagent.pipeline import Pipeline
            >>> mood = Pipeline("mood").step("score", run=lambda: 3)
            >>> print(run_pipeline(mood.step("cheer", run=lambda: "Hooray", condition="steps.score > 7")).explain())
            The run of 'mood' completed.
            - 'cheer' was skipped [condition_false]: steps.score > 7 is false: steps.score is 3
        """
        return "\n".join(
            explanation(self.pipeline_name, self.status, self.step_metadata, code=self.code, reason=self.reason)
        )
