"""A pipeline from a Python file: `file.py` or `file.py:object`. Loading runs the file, as importing it would."""

import hashlib
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from traceback import extract_tb
from types import ModuleType

from tagent.exceptions import nearest, text_of
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
    module = _run_file(Path(file))
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
            raise PipelineLoadError(file, f"{file}:{name} raised {_described(error, file)}.") from error
    if not isinstance(value, Pipeline):
        raise PipelineLoadError(file, f"{file} defines no pipeline {name!r}.{nearest(name, known)}")
    return value


def _run_file(file: Path) -> ModuleType:
    if not file.is_file():
        raise PipelineLoadError(
            str(file), f"There is no file {str(file)!r}.", hint="A goal must not end like a file name."
        )
    # Two files of one name are two modules: their classes look their annotations up by it.
    digest = hashlib.sha256(str(file.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:12]
    spec = spec_from_file_location(f"tagent_pipeline_{file.stem}_{digest}", file)
    if spec is None or spec.loader is None:
        raise PipelineLoadError(
            str(file), f"{file} is no Python file.", hint="Name a .py file that defines a pipeline."
        )
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # its classes look their annotations up there
    folder = str(file.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise PipelineLoadError(
            str(file),
            f"{file} raised {_described(error, str(file))}.",
            hint="Add --verbose to see where.",
        ) from error
    return module


def _described(error: BaseException, file: str) -> str:
    """Return the error with the last line of `file` that led to it."""
    if isinstance(error, SyntaxError):
        return f"SyntaxError: {error.msg} (line {error.lineno})"
    lines = [frame.lineno for frame in extract_tb(error.__traceback__) if Path(frame.filename).name == Path(file).name]
    where = f" (line {lines[-1]})" if lines else ""
    return f"{type(error).__name__}: {text_of(error)}{where}"
