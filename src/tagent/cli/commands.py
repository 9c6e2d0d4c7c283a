"""What people are told to type about a run. Pure: facts in, text out."""

import shlex

from tagent.cli.stores import DEFAULT_STORE, without_password
from tagent.pipeline.stored.definition import Definition
from tagent.pipeline.stored.origins import knows_its_code
from tagent.values import value

ANY_FILE = "PIPELINE.py"
"""What stands in a command for the file of the pipeline, where nobody knows that."""


@value
class RunCommands:
    """The commands about a run.

    Attributes:
        run_id: The run.
        store: The URL of its store; None if it need not be named.
        file: What names the file of its pipeline; empty if none need be named.

    Example:
        >>> RunCommands("1f2e").resume
        'tagent runs resume 1f2e'
        >>> RunCommands("1f2e", "file:///my runs").approve("cases/0/refund")
        "tagent runs approve 1f2e cases/0/refund --store 'file:///my runs'"
    """

    run_id: str
    store: str | None = None
    file: str = ""

    @classmethod
    def of(cls, run_id: str, url: str, definition: Definition | None = None, *, file: str = "") -> "RunCommands":
        """Return the commands about a run.

        Args:
            run_id: The run.
            url: Its store's URL.
            definition: What is stored of its pipeline; None if it knows from where its code comes.
            file: The file that was named for it; empty for none.
        """
        is_known = definition is None or knows_its_code(definition)
        return cls(run_id, None if url == DEFAULT_STORE else url, file or ("" if is_known else ANY_FILE))

    @property
    def resume(self) -> str:
        """What goes on with the run."""
        return self._typed("resume", *filter(None, [self.file]))

    @property
    def alternative(self) -> str:
        """What else goes on with a run for which a file is named, and what stands for that; empty for others."""
        if not self.file:
            return ""
        worker = f"Or by: tagent worker {shlex.quote(self.file)}{self._of_store()}"
        return "".join(f"\n{line}" for line in (worker, self.meaning) if line)  # each command can be pasted as it is

    @property
    def meaning(self) -> str:
        """What stands for a file that nobody knows; empty if there is none such."""
        told = f"{ANY_FILE} stands for the file of its pipeline, which the run does not know."
        return told if self.file == ANY_FILE else ""

    @property
    def approvals(self) -> str:
        """What lists all that the run asks."""
        return self._typed("approvals")

    def show(self, step: str) -> str:
        """Return what prints all of an output."""
        return self._typed("show", "--step", step)

    def approve(self, *words: str, is_edited: bool = False) -> str:
        """Return what says yes; with `is_edited` to another output."""
        edited = ("--output", "@FILE", *(("--pipeline", self.file) if self.file else ())) if is_edited else ()
        return self._typed("approve", *words, *edited)

    def reject(self, *words: str) -> str:
        """Return what says no."""
        return self._typed("reject", *words)

    def _typed(self, verb: str, *words: str) -> str:
        return f"tagent runs {verb} {shlex.join((self.run_id, *words))}{self._of_store()}"

    def _of_store(self) -> str:
        return f" --store {shlex.quote(without_password(self.store))}" if self.store else ""
