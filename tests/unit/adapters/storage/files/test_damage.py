"""What is torn is recovered, what is damaged is named: never read as something else, never started over."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from tagent.adapters.storage.files.errors import DamagedLogError
from tagent.adapters.storage.files.lines import checksum_of, line_of
from tagent.adapters.storage.files.store import open_files
from tagent.exceptions import StoreError
from tagent.ports.store_errors import StoreUnavailableError, StoreVersionError
from tagent.testing.store_contract.samples import batch, new_run, seqs

Lines = list[bytes]


async def written(directory: Path, *, commits: int = 3, segment_bytes: int = 2**20) -> Path:
    """Write a store whose run `r` has some commits, and return the first file of its log."""
    store = open_files(directory, segment_bytes=segment_bytes)
    await store.create_run(new_run("r"))
    for seq in range(1, commits + 1):
        await store.commit(batch("r", seq, seq))
    await store.close()
    return directory / "log-000001.jsonl"


def logs_in(directory: Path) -> list[Path]:
    return sorted(directory.glob("log-*"))


async def found(directory: Path) -> list[int]:
    """Open the store and return what the run's journal holds."""
    store = open_files(directory)
    try:
        return await seqs(store, "r")
    finally:
        await store.close()


async def test_a_line_torn_at_any_byte_is_cut_off_and_written_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A process may be killed at any moment; nobody was told that this line was written."""
    log = await written(tmp_path)
    whole = log.read_bytes()
    *before, last = whole.splitlines(keepends=True)
    for length in range(len(last)):
        log.write_bytes(b"".join(before) + last[:length])
        caplog.clear()
        store = open_files(tmp_path)
        assert await seqs(store, "r") == [1, 2]
        await store.commit(batch("r", 3, 3))
        await store.close()
        assert [record.levelno for record in caplog.records] == ([logging.WARNING] if length else [])
        assert log.read_bytes() == whole
    assert str(log) in caplog.text
    assert f"{len(last) - 1} bytes behind line 5" in caplog.text


async def test_a_torn_line_leaves_nothing_behind_a_shorter_one(tmp_path: Path) -> None:
    """What is written over it need not cover it."""
    log = await written(tmp_path)
    whole = log.read_bytes()
    log.write_bytes(whole + b"torn" * 1000)
    store = open_files(tmp_path)
    await store.release("r", epoch=1)
    await store.close()
    assert log.read_bytes().startswith(whole)
    assert b"torn" not in log.read_bytes()
    assert await found(tmp_path) == [1, 2, 3]


async def test_a_line_of_which_a_block_never_reached_the_disk_is_torn(tmp_path: Path) -> None:
    """When the power fails, the end of a file may be there before its middle: the gap reads as zeros."""
    log = await written(tmp_path)
    whole = log.read_bytes()
    end = len(whole) - len(whole.splitlines(keepends=True)[-1])
    for torn in (b"\0" * 40, whole[end : end + 10] + b"\0" * 20 + whole[end + 30 :]):
        log.write_bytes(whole[:end] + torn)
        store = open_files(tmp_path)
        await store.commit(batch("r", 3, 3))
        await store.close()
        assert log.read_bytes() == whole


async def test_looking_at_a_torn_line_changes_nothing(tmp_path: Path) -> None:
    """The next who writes cuts it off; who only reads may be looking at a disk that has to be examined."""
    log = await written(tmp_path)
    torn = log.read_bytes()[:-5]
    log.write_bytes(torn)
    assert await found(tmp_path) == [1, 2]
    assert log.read_bytes() == torn


@pytest.mark.parametrize("line", range(1, 7))
async def test_a_changed_byte_in_any_line_is_named_by_file_and_line(tmp_path: Path, line: int) -> None:
    """A bad disk must not change what a run has done, and nothing that was acknowledged is dropped in silence."""
    log = await written(tmp_path)
    lines = log.read_bytes().splitlines(keepends=True)
    for at in (0, 4, 8, 9, len(lines[line - 1]) // 2, len(lines[line - 1]) - 2):
        changed = bytearray(lines[line - 1])
        changed[at] ^= 0x01
        damaged = b"".join([*lines[: line - 1], bytes(changed), *lines[line:]])
        log.write_bytes(damaged)
        with pytest.raises(DamagedLogError, match=rf"{log}, line {line}: .*Put a backup") as raised:
            open_files(tmp_path)
        assert (raised.value.file, raised.value.line, raised.value.code) == (log, line, "store.damaged")
        assert not isinstance(raised.value, StoreUnavailableError), "trying again does not help"
        assert log.read_bytes() == damaged


def without_one(lines: Lines) -> Lines:
    return lines[:3] + lines[4:]


def one_twice(lines: Lines) -> Lines:
    return [*lines[:4], lines[3], *lines[4:]]


def two_swapped(lines: Lines) -> Lines:
    return [*lines[:3], lines[4], lines[3], *lines[5:]]


def one_in_two(lines: Lines) -> Lines:
    return [*lines[:3], lines[3][:20] + b"\n", lines[3][20:], *lines[4:]]


@pytest.mark.parametrize(
    ("change", "line"), [(without_one, 4), (one_twice, 5), (two_swapped, 4), (one_in_two, 4)], ids=str
)
async def test_lines_that_are_not_in_their_order_are_damage(
    tmp_path: Path, change: Callable[[Lines], Lines], line: int
) -> None:
    """Each line is whole, but what they say together never happened."""
    log = await written(tmp_path)
    log.write_bytes(b"".join(change(log.read_bytes().splitlines(keepends=True))))
    with pytest.raises(DamagedLogError) as raised:
        open_files(tmp_path)
    assert (raised.value.file, raised.value.line) == (log, line)


async def test_damage_under_an_open_store_is_found_by_the_next_read_and_stops_the_next_write(tmp_path: Path) -> None:
    """What was right when the store was opened is checked again when it is used."""
    log = await written(tmp_path)
    store = open_files(tmp_path)
    content = log.read_bytes()
    log.write_bytes(content.replace(b'"seq":2', b'"seq":7'))
    with pytest.raises(DamagedLogError, match="line 5") as raised:
        await store.records("r")
    assert (raised.value.file, raised.value.line) == (log, 5)
    with log.open("ab") as file:
        file.write(b"not ours\n")
    for call in (store.run("r"), store.commit(batch("r", 4, 4)), store.commit(batch("r", 4, 4))):
        with pytest.raises(DamagedLogError, match="line 7"):
            await call
    await store.close()


async def test_a_log_that_was_cut_under_an_open_store_is_damage(tmp_path: Path) -> None:
    """Else the journal would go on behind a hole."""
    log = await written(tmp_path)
    store = open_files(tmp_path)
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:-1]))
    for call in (store.run("r"), store.commit(batch("r", 4, 4))):
        with pytest.raises(DamagedLogError, match="cut it off"):
            await call
    await store.close()


@pytest.mark.parametrize("content", [b"", b"\n", b"Dear reader,\n", b"[]\n", b'00000000 {"store":"other"}\n', b"torn"])
async def test_a_file_that_does_not_begin_as_a_log_is_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    """It may be somebody's own log, or what is left of ours; an empty store in its place would hide both."""
    log = tmp_path / "log-000001.jsonl"
    log.write_bytes(content)
    with pytest.raises(DamagedLogError) as raised:
        open_files(tmp_path)
    assert (raised.value.file, raised.value.line) == (log, 1)
    assert log.read_bytes() == content


@pytest.mark.parametrize("number", [1, 2, 3])
async def test_a_file_that_is_missing_is_named(tmp_path: Path, number: int) -> None:
    """A journal without its beginning, its middle or its end is not the journal."""
    await written(tmp_path, commits=8, segment_bytes=500)
    logs = logs_in(tmp_path)
    assert len(logs) == 3
    logs[number - 1].unlink()
    with pytest.raises(DamagedLogError, match="is missing") as raised:
        open_files(tmp_path)
    assert raised.value.file == logs[number - 1]


async def test_an_earlier_file_that_is_cut_off_is_damage(tmp_path: Path) -> None:
    """Only the last line of the last file can be torn."""
    log = await written(tmp_path, commits=8, segment_bytes=500)
    log.write_bytes(log.read_bytes()[:-3])
    with pytest.raises(DamagedLogError, match="cut off") as raised:
        open_files(tmp_path)
    assert raised.value.file == log


async def test_a_lock_file_that_says_nothing_is_damage(tmp_path: Path) -> None:
    """It says which files there are."""
    await written(tmp_path)
    (tmp_path / "lock").write_text("what?")
    with pytest.raises(DamagedLogError, match="does not name") as raised:
        open_files(tmp_path)
    assert raised.value.file == tmp_path / "lock"


@pytest.mark.parametrize("content", [b"", b"\0" * 14])
async def test_a_lock_file_that_did_not_reach_the_disk_is_written_anew(tmp_path: Path, content: bytes) -> None:
    """The power may fail while the store is made."""
    await written(tmp_path, commits=8, segment_bytes=500)
    (tmp_path / "lock").write_bytes(content)
    assert await found(tmp_path) == list(range(1, 9))
    assert (tmp_path / "lock").read_bytes() == b"000001 000003\n"


async def test_the_files_of_a_log_can_be_copied_elsewhere(tmp_path: Path) -> None:
    """A backup need not hold the lock."""
    await written(tmp_path / "a", commits=8, segment_bytes=500)
    (tmp_path / "b").mkdir()
    for log in logs_in(tmp_path / "a"):
        (tmp_path / "b" / log.name).write_bytes(log.read_bytes())
    assert await found(tmp_path / "b") == await found(tmp_path / "a") == list(range(1, 9))


async def test_a_newer_format_is_refused_and_left_alone(tmp_path: Path) -> None:
    """A tagent that does not understand a store must not write to it."""
    log = tmp_path / "log-000001.jsonl"
    log.write_bytes(b'whatever-it-is {"store":"tagent","format":2}\nand so on\n')
    content = log.read_bytes()
    with pytest.raises(StoreVersionError, match="newer tagent, in format 2; this one knows up to 1") as raised:
        open_files(tmp_path)
    assert str(log) in raised.value.message
    assert log.read_bytes() == content


def appended(log: Path, body: bytes) -> None:
    checksum = 0
    for line in log.read_bytes().splitlines():
        checksum = checksum_of(line[9:], before=checksum)
    with log.open("ab") as file:
        file.write(line_of(body, checksum_of(body, before=checksum)))


async def test_an_operation_of_a_newer_tagent_is_refused(tmp_path: Path) -> None:
    """To pass over what one does not understand is to guess."""
    log = await written(tmp_path)
    store = open_files(tmp_path)
    appended(log, b'{"op":"new"}')
    with pytest.raises(StoreVersionError, match="Line 7"):
        await store.run("r")
    with pytest.raises(StoreVersionError, match="Line 7"):
        await store.commit(batch("r", 4, 4))
    await store.close()


@pytest.mark.parametrize("body", [b"", b"no JSON", b"[]", b"{}", b'{"op":"commit"}', b'{"op":"create","run":{"x":1}}'])
async def test_a_line_with_a_right_checksum_that_says_nothing_is_damage(tmp_path: Path, body: bytes) -> None:
    """Another program may have written it."""
    log = await written(tmp_path)
    appended(log, body)
    with pytest.raises(StoreError) as raised:
        await found(tmp_path)
    assert isinstance(raised.value, DamagedLogError)
    assert raised.value.line == 7
