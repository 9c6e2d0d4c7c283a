"""What the steps of a run gave, as results show it: a large output that was released is read when somebody asks."""

from collections.abc import ItemsView, Iterable, Iterator, Mapping, ValuesView
from typing import Any

from pydantic_core import SchemaSerializer, core_schema

from tagent.pipeline.journal.blobs import StoredOutput
from tagent.pipeline.journal.connection import Connection
from tagent.pipeline.outputs import OutputType
from tagent.pipeline.work.large_outputs import read_output


class StepOutputs(Mapping[str, Any]):
    """Step name -> output as its declared type. Nobody can change it.

    A large output is read from the run's store each time it is asked for: blocking, in or outside of an event
    loop, also when the run's services are closed. What is read is not kept.

    Args:
        outputs: Step name -> output; a `StoredOutput` for what is to be read.
        types: Step name -> the type of its output.
        run_id: The run.
        store_url: Its store.

    Raises:
        LostOutputError: From whatever reads: if the output is not in the store any more.
        StoreError: Likewise, if the store cannot be opened or read.
        StepOutputError: Likewise, if the output does not fit the type of today's code.
    """

    __slots__ = ("_outputs", "_run_id", "_store_url", "_types")
    __hash__ = None  # type: ignore[assignment]  # like that of a dict

    # By this, Pydantic writes it as it writes a dict, also inside a result.
    __pydantic_serializer__ = SchemaSerializer(
        core_schema.any_schema(serialization=core_schema.plain_serializer_function_ser_schema(dict))
    )

    def __init__(
        self, outputs: Mapping[str, object], types: Mapping[str, OutputType], *, run_id: str, store_url: str
    ) -> None:
        self._outputs = outputs
        self._types = types
        self._run_id = run_id
        self._store_url = store_url

    def __getitem__(self, name: str) -> Any:
        output = self._outputs[name]
        return next(self.read([name])) if isinstance(output, StoredOutput) else output

    def __iter__(self) -> Iterator[str]:
        return iter(self._outputs)

    def __len__(self) -> int:
        return len(self._outputs)

    def __contains__(self, name: object) -> bool:
        return name in self._outputs

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mapping):
            return NotImplemented
        return self.keys() == other.keys() and all(output == other[name] for name, output in self.items())

    def __repr__(self) -> str:
        return repr(self._outputs)

    def items(self) -> ItemsView[str, Any]:
        """Return the names with their outputs; going through them opens the store once."""
        return _Items(self)

    def values(self) -> ValuesView[Any]:
        """Return the outputs; going through them opens the store once."""
        return _Values(self)

    def read(self, names: Iterable[str]) -> Iterator[Any]:
        """Yield the outputs of these steps; the store, if it is needed, is open until the last one."""
        connection: Connection | None = None
        try:
            for name in names:
                output = self._outputs[name]
                if isinstance(output, StoredOutput):
                    connection = connection or Connection(store=self._store_url)
                    reading = read_output(connection.services, output, run_id=self._run_id, step=name)
                    output = self._types[name].load(connection.bridge.wait(reading), step=name)
                yield output
        finally:
            if connection is not None:
                connection.close()


class _Items(ItemsView[str, Any]):
    _mapping: StepOutputs

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        return zip(self._mapping, self._mapping.read(self._mapping), strict=True)


class _Values(ValuesView[Any]):
    _mapping: StepOutputs

    def __iter__(self) -> Iterator[Any]:
        return self._mapping.read(self._mapping)
