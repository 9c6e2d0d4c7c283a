"""A pipeline from a Python file: what is said when there is none."""

from pathlib import Path

import pytest

from tagent.pipeline.exceptions import PipelineLoadError
from tagent.pipeline.stored.definition import Definition, Origin
from tagent.pipeline.stored.loading import load_pipeline
from tagent.pipeline.stored.origins import code_of


def hint_of(file: Path) -> str:
    """Return what to do about a file that gives no pipeline."""
    with pytest.raises(PipelineLoadError) as caught:
        load_pipeline(file)
    return caught.value.hint


def test_a_name_of_the_package_that_is_not_imported_is_told_with_its_import(tmp_path: Path) -> None:
    """It stands in an example that somebody has copied a part of."""
    file = tmp_path / "flow.py"
    file.write_text("from tagent.pipeline import Pipeline\npipeline = Pipeline('p', approval=Approval())\n")
    assert hint_of(file) == "Import it: from tagent.pipeline import Approval"
    file.write_text("pipeline = Pipelin('p')\n")
    assert hint_of(file) == "Add --verbose to see where."


def test_a_file_that_is_gone_since_the_run_began_is_to_be_put_back(tmp_path: Path) -> None:
    """Whoever resumes a run has named no file."""
    file = tmp_path / "flow.py"
    file.write_text("from tagent.pipeline import Pipeline\npipeline = Pipeline('p').step('a', run=lambda: 1)\n")
    definition = Definition.of(load_pipeline(file), Origin(str(file)))
    file.unlink()
    with pytest.raises(PipelineLoadError, match="from which run run-1 was started, is not there any more") as caught:
        code_of(definition, run_id="run-1", hint="")
    assert caught.value.hint == "Put it back, or name the file or the pipeline itself."
