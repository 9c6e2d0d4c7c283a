"""A pipeline from a Python file: `file.py` or `file.py:object`. Loading runs the file, as importing it would."""

from pathlib import Path
from types import ModuleType

from tagent.exceptions import nearest
from tagent.loading import LoadFailure, failure_of, run_file
from tagent.pipeline.exceptions import PipelineLoadError
from tagent.pipeline.models import Pipeline


def load_pipeline(file: str | Path, object_name: str = "") -> Pipeline:
    """Return the pipeline that `file` defines.

    Args:
        file: A Python file. Its folder can be imported from, as when Python runs it.
        object_name: The pipeline in it, or a function that takes nothing and returns one; empty
            takes the only pipeline of the file, or the one named `pipeline`.

    Raises:
        PipelineLoadError: If the file cannot be read, raises, or does not hold the pipeline.
    """
    module = _module_of(Path(file))
    found = {name: value for name, value in vars(module).items() if isinstance(value, Pipeline)}
    if object_name:
        return _named(module, object_name, file=str(file), known=found)
    if len({id(value) for value in found.values()}) == 1:
        return next(iter(found.values()))
    if "pipeline" in found:
        return found["pipeline"]
    if not found:
        raise PipelineLoadError(str(file), f"{file} defines no pipeline.", hint="Assign one: pipeline = Pipeline(...).")
    choices = " or ".join(f"{file}:{name}" for name in found)
    raise PipelineLoadError(str(file), f"{file} defines {len(found)} pipelines.", hint=f"Name one: {choices}.")


def _named(module: ModuleType, name: str, *, file: str, known: dict[str, Pipeline]) -> Pipeline:
    value = getattr(module, name, None)
    if callable(value) and not isinstance(value, type):
        try:
            value = value()
        except (Exception, SystemExit) as error:
            failure = failure_of(error, Path(file))
            raise PipelineLoadError(file, f"{file}:{name} raised {failure.told.rstrip('.')}.") from error
    if not isinstance(value, Pipeline):
        raise PipelineLoadError(file, f"{file} defines no pipeline {name!r}.{nearest(name, known)}")
    return value


def _module_of(file: Path) -> ModuleType:
    module = run_file(file)
    if not isinstance(module, LoadFailure):
        return module
    if module.cause is not None:
        message = f"{file} raised {module.told.rstrip('.')}."
        hint = _import_of(module.cause) or "Add --verbose to see where."
    elif file.is_file():
        message, hint = f"{file} is no Python file.", "Name a .py file that defines a pipeline."
    else:
        message, hint = f"There is no file {str(file)!r}.", ""
    raise PipelineLoadError(str(file), message, hint=hint) from module.cause


def _import_of(cause: BaseException) -> str:
    """Return which import is missing, if the file uses a name of `tagent.pipeline` that it does not have; else ""."""
    from tagent import pipeline  # it has this module inside it

    if isinstance(cause, NameError) and cause.name in pipeline.__all__:
        return f"Import it: from tagent.pipeline import {cause.name}"
    return ""
