"""Stores of activations: what is read is what was written, whatever happens on the way."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from analyses import cli
from interp.activations import store as store_module
from interp.activations.store import KEPT_OPEN, Cells, shards_in_words
from interp.activations.store import ActivationStore as Store
from interp.activations.stores import merged, merged_parts, part_folder, parts_beside, stores_below, whole_folder
from interp.errors import InputError
from interp.work import files
from tests.stored import WRITE_STEPS, contents, filled, plan_of, store_of

ACTIVATIONS = torch.randn(2, 2, 7, 5, generator=torch.Generator().manual_seed(0))
PLAN = plan_of([6, 0], [3, 1, 2], [5], [4])


def whole_in(folder: Path, identity: dict[str, Any] | None = None) -> Store:
    return store_of(folder, ACTIVATIONS, plan=PLAN, identity=identity)


def unwritten(folder: Path) -> Store:
    names = tuple(f"q{index}" for index in range(7))
    return Store(folder, {"seed": 0}, (0, 1), ("last_q", "-1"), names, PLAN)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kept_open", [KEPT_OPEN, 1])
def test_a_cell_comes_back_in_the_order_of_the_examples(
    tmp_path: Path, dtype: torch.dtype, kept_open: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "KEPT_OPEN", kept_open)
    store = store_of(tmp_path / "store", ACTIVATIONS.to(dtype), plan=PLAN, layers=(3, 8))
    reopened = Store.read(store.folder)
    assert reopened == store
    assert isinstance(reopened, Cells)
    assert reopened.is_whole()
    some = reopened.of_examples(["q5", "q0"])
    assert isinstance(some, Cells)
    assert (some.layers, some.positions, some.examples) == ((3, 8), ("last_q", "-1"), ("q5", "q0"))
    for row, layer in enumerate(store.layers):
        for column, position in enumerate(store.positions):
            cell = reopened.cell(layer, position)
            assert cell.dtype is dtype
            assert torch.equal(cell, ACTIVATIONS[row, column].to(dtype))
            assert torch.equal(some.cell(layer, position), cell[[5, 0]])
    with pytest.raises(InputError, match="has no example 'q9'; it is a store of other questions"):
        reopened.of_examples(["q9"])


@settings(max_examples=30)
@given(
    shape=st.tuples(*[st.integers(1, 9)] * 4),
    dtype=st.sampled_from([torch.float64, torch.float32, torch.float16, torch.bfloat16]),
    chunk=st.sampled_from([7, 64, 1 << 20]),
)
def test_a_shard_is_what_safetensors_writes(shape: tuple[int, ...], dtype: torch.dtype, chunk: int) -> None:
    activations = torch.randn(shape).to(dtype).transpose(1, 2)
    with tempfile.TemporaryDirectory() as parent, pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "CHUNK", chunk)
        store = unwritten(Path(parent))
        digest = store.write(0, activations)
        written = (Path(parent) / "shard-0000.safetensors").read_bytes()
        assert written == save({"activations": activations.contiguous()})
        assert digest == hashlib.sha256(written).hexdigest()


@settings(max_examples=30)
@given(order=st.permutations(range(len(PLAN))))
def test_whoever_writes_first_the_bytes_are_the_same(order: list[int]) -> None:
    with tempfile.TemporaryDirectory() as parent:
        expected = contents(whole_in(Path(parent) / "in-order").folder)
        store = unwritten(Path(parent) / "any-order")
        with store.writing():
            for number in order:
                rows = [row for batch in PLAN[number] for row in batch.examples]
                store.enter(number, store.write(number, ACTIVATIONS[:, :, rows]))
            assert not store.is_whole(), "its manifest is still in the order of the writing"
            store.put_in_order()
        assert store.is_whole()
        assert contents(store.folder) == expected


class Steps:
    """Counts the steps by which something is written, and does something at one of them.

    A step is whatever changes the disk: a file made, filled, flushed, renamed or removed, a line appended.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self.at: int | None = None
        self.act: Callable[[str, tuple[Any, ...]], None] = lambda name, arguments: None
        for module, name in WRITE_STEPS:
            patch.setattr(module, name, self._counted(name, getattr(module, name)))

    def _counted(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **kwargs: Any) -> Any:
            self.count += 1
            if self.count == self.at:
                self.act(name, args)
            return function(*args, **kwargs)

        return step


@contextmanager
def steps(at: int | None = None, act: Callable[[str, tuple[Any, ...]], None] | None = None) -> Iterator[Steps]:
    with pytest.MonkeyPatch.context() as patch:
        counted = Steps(patch)
        counted.at, counted.act = at, act or counted.act
        yield counted


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], int]:
    """The files of a store that was written without a fault, and by how many steps."""
    folder = tmp_path_factory.mktemp("undisturbed") / "store"
    with steps() as counted:
        whole_in(folder)
    return contents(folder), counted.count


def test_a_full_disk_at_any_step_is_one_line_and_the_run_goes_on(
    tmp_path: Path, undisturbed: tuple[dict[str, bytes], int]
) -> None:
    expected, n_steps = undisturbed
    assert n_steps > 25

    def full(name: str, arguments: tuple[Any, ...]) -> None:
        if name in ("unlink", "enter"):
            return  # Removing needs no room; entering flushes, which is a step of its own.
        if name == "write":
            write_some(arguments[0], arguments[1][: len(arguments[1]) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    write_some = os.write
    refused = 0
    for step in range(1, n_steps + 1):
        folder = tmp_path / f"full-{step}"
        with steps(step, full):
            told = refusal(folder)
        assert told is None or ("o space left on device" in told and "\n" not in told)
        refused += told is not None
        assert not list(folder.glob(".*")), "nothing half-written is left"
        whole_in(folder)
        assert contents(folder) == expected
    assert refused > 20


@pytest.mark.parametrize("damage", ["flipped", "truncated", "emptied", "gone"])
def test_damage_after_any_step_is_found_and_mended(
    tmp_path: Path, undisturbed: tuple[dict[str, bytes], int], damage: str
) -> None:
    expected, n_steps = undisturbed
    mended = refused = 0
    for step in range(1, n_steps + 1):
        folder = tmp_path / f"{damage}-{step}"

        class Stopped(Exception):
            pass

        def stop(name: str, arguments: tuple[Any, ...]) -> None:
            raise Stopped

        with steps(step, stop):
            with suppress(Stopped):
                whole_in(folder)
        for path in sorted(folder.glob("*")):
            victim = Path(shutil.copytree(folder, tmp_path / f"{damage}-{step}-{path.name}")) / path.name
            damaged(victim, damage)
            told = refusal(victim.parent)
            if told is None:
                assert contents(victim.parent) == expected
                mended += 1
            else:
                assert victim.name == "store.json", "a shard and the manifest are mended"
                assert "corrupt store of activations" in told
                refused += 1
    assert mended > 20
    assert refused > 0 or damage == "gone"


def refusal(folder: Path) -> str | None:
    """What is said if the store cannot be completed."""
    try:
        whole_in(folder)
    except InputError as error:
        return str(error)
    return None


def damaged(path: Path, how: str) -> None:
    data = path.read_bytes()
    if how == "gone":
        path.unlink()
    elif how == "flipped" and data:
        middle = len(data) // 2
        path.write_bytes(data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])
    else:
        path.write_bytes(data[: len(data) // 3] if how == "truncated" else b"")


def test_a_second_writer_at_any_step_is_refused(tmp_path: Path, undisturbed: tuple[dict[str, bytes], int]) -> None:
    expected, n_steps = undisturbed
    refused = 0
    for step in range(1, n_steps + 1):
        folder = tmp_path / f"two-{step}"

        def intrude(name: str, arguments: tuple[Any, ...], folder: Path = folder) -> None:
            nonlocal refused
            with pytest.raises(InputError, match=r"another process is writing to .*; wait for it, stop it"):
                whole_in(folder)
            refused += 1

        with steps(step, intrude):
            whole_in(folder)
        assert contents(folder) == expected
    assert refused == n_steps


def test_a_clock_that_jumps_changes_nothing(
    tmp_path: Path, undisturbed: tuple[dict[str, bytes], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([4e9, -4e9] * 10_000)
    monkeypatch.setattr(time, "time", lambda: next(clock))
    store = unwritten(tmp_path / "store")
    for number in range(len(PLAN)):
        rows = [row for batch in PLAN[number] for row in batch.examples]
        with store.writing():
            store.enter(number, store.write(number, ACTIVATIONS[:, :, rows]))
        for path in store.folder.iterdir():
            os.utime(path, (next(clock), abs(next(clock))))
    assert contents(whole_in(store.folder).folder) == undisturbed[0]


def test_a_store_of_another_run_is_refused(tmp_path: Path) -> None:
    whole_in(tmp_path / "store")
    with pytest.raises(InputError, match=r"another run \(it differs in identity\); remove it"):
        whole_in(tmp_path / "store", {"seed": 1})
    with pytest.raises(InputError, match=r"another run \(it differs in positions\); remove it"):
        store_of(tmp_path / "store", ACTIVATIONS, plan=PLAN, positions=("last_q", "-2"))


def test_a_run_with_other_batches_ends_the_store_as_it_was_begun(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    expected = contents(whole_in(tmp_path / "undisturbed").folder)
    store = unwritten(tmp_path / "store")
    with store.writing():
        store.enter(1, store.write(1, ACTIVATIONS[:, :, [3, 1, 2]]))
    with caplog.at_level(logging.INFO):
        filled(replace(store, plan=plan_of(range(7))), ACTIVATIONS)
    assert caplog.messages == [f"going on in the batches of the run that began {store.folder}"]
    assert contents(store.folder) == expected


def test_parts_become_one_store_and_their_faults_are_named(tmp_path: Path) -> None:
    expected = contents(whole_in(tmp_path / "undisturbed").folder)
    folder = tmp_path / "store"
    parts = []
    for number, shards in enumerate(([0, 2], [1, 3], [1])):
        part = replace(unwritten(folder), folder=part_folder(folder, f"{number + 1}/3"))
        with part.writing():
            for shard in shards:
                rows = [row for batch in PLAN[shard] for row in batch.examples]
                part.enter(shard, part.write(shard, ACTIVATIONS[:, :, rows]))
        parts.append(part)
    assert parts_beside(folder) == [part.folder for part in parts]
    assert whole_folder(parts[0].folder) == folder
    with pytest.raises(InputError, match=r"lacks shards 1, 3 of 4, which no part has; run the missing --shard"):
        merged(parts[:1], folder)
    assert merged_parts(parts) == []
    assert contents(merged(parts, folder).folder) == expected
    assert merged_parts(parts) == parts
    assert parts_beside(folder) == [part.folder for part in parts], "the store itself is none"
    assert [store.folder for store in stores_below(tmp_path)[0]] == sorted(
        [folder, tmp_path / "undisturbed", *(part.folder for part in parts)]
    )

    with pytest.raises(InputError, match=r"different runs \(they differ in plan\); give every part the same flags"):
        merged([parts[0], replace(parts[1], plan=plan_of(range(7)))], tmp_path / "other")
    damaged(parts[1].folder / "shard-0003.safetensors", "flipped")
    with pytest.raises(InputError, match=r"shard-0003\.safetensors is damaged; capture it again"):
        merged(parts[:2], tmp_path / "third")
    merged([parts[2], parts[0]], tmp_path / "store")
    assert contents(merged(parts, folder).folder) == expected, "what is there is not taken from a damaged part"


def parts_of(folder: Path, n: int) -> list[Store]:
    parts = [replace(unwritten(folder), folder=part_folder(folder, f"{number + 1}/{n}")) for number in range(n)]
    return [filled(part, ACTIVATIONS) for part in parts]


def test_a_store_is_verified_once_however_many_parts_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = parts_of(tmp_path / "store", 5)
    merged(parts, tmp_path / "store")
    verified: list[Path] = []
    is_whole = Store.is_whole
    monkeypatch.setattr(Store, "is_whole", lambda self: verified.append(self.folder) or is_whole(self))
    assert merged_parts(parts) == parts
    assert verified == [tmp_path / "store"]


def test_a_part_is_whole_with_the_shards_of_its_share(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    part = replace(unwritten(tmp_path / "store"), folder=part_folder(tmp_path / "store", "1/2"))
    share = list(range(0, len(PLAN), 2))
    with part.writing():
        for number in share:
            rows = [row for batch in PLAN[number] for row in batch.examples]
            part.enter(number, part.write(number, ACTIVATIONS[:, :, rows]))
    assert cli.main(["store", "verify", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{part.folder}: whole\n"
    assert cli.main(["store", "list", str(tmp_path)]) == 0
    assert f" {len(share)}/{len(share)} " in capsys.readouterr().out
    part.folder.rename(tmp_path / "store.part-of-somebody")
    assert cli.main(["store", "verify", str(tmp_path)]) == 1
    assert f": {len(PLAN) - len(share)} of {len(PLAN)} shards not captured\n" in capsys.readouterr().out


def test_a_store_is_known_in_its_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = parts_of(tmp_path / "store", 2)
    store = whole_in(tmp_path / "store")
    monkeypatch.chdir(store.folder)
    assert cli.main(["store", "merge", "."]) == 0
    assert cli.main(["store", "export", ".", "--to", "npz"]) == 0
    assert (tmp_path / "store.npz").is_file()
    (store.folder / "within").mkdir()
    monkeypatch.chdir(store.folder / "within")
    (store.folder / "shard-0009.safetensors").write_bytes(b"")
    assert cli.main(["store", "prune", "..", "--yes"]) == 0
    assert not (store.folder / "shard-0009.safetensors").exists()
    monkeypatch.chdir(parts[0].folder)
    assert cli.main(["store", "prune", ".", "--yes"]) == 0
    assert not parts[0].folder.exists()
    assert sorted(tmp_path.rglob(".*")) == sorted(tmp_path / f".{each.folder.name}.lock" for each in (store, *parts))


def test_a_damaged_header_is_told_of_and_keeps_nothing_else_from_being_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged(whole_in(tmp_path / "a-damaged").folder / "store.json", "flipped")
    other = whole_in(tmp_path / "other")
    (other.folder / "shard-0009.safetensors").write_bytes(b"")
    merged(parts_of(tmp_path / "torn", 1), tmp_path / "torn")
    damaged(tmp_path / "torn" / "store.json", "flipped")
    for command in (["list"], ["verify"], ["prune", "--yes"]):
        assert cli.main(["store", *command, str(tmp_path)]) == 1
        printed = capsys.readouterr().out
        for name in ("a-damaged", "torn"):
            assert f"corrupt store of activations: {tmp_path / name / 'store.json'} (its hash is another)" in printed
        assert str(other.folder) in printed
    assert not (other.folder / "shard-0009.safetensors").exists()
    assert (tmp_path / "a-damaged" / "shard-0000.safetensors").is_file()
    assert part_folder(tmp_path / "torn", "1/1").is_dir()


def test_a_shard_that_is_not_in_the_plan_is_cleared_away(tmp_path: Path) -> None:
    store = whole_in(tmp_path / "store")
    expected = contents(store.folder)
    shutil.copyfile(store.folder / "shard-0000.safetensors", store.folder / "shard-0009.safetensors")
    store.enter(9, store.entered()[0])
    assert store.verified_shards() == set(range(len(PLAN)))
    assert contents(whole_in(store.folder).folder) == expected


def test_parts_of_another_store_are_not_merged_into_it(tmp_path: Path) -> None:
    """Whose folder has the name of the whole: nothing that it lacks may be taken for merged, and removed."""
    parts = parts_of(tmp_path / "store", 2)
    store_of(tmp_path / "store", ACTIVATIONS + 1, plan=PLAN, identity={"seed": 1})
    assert merged_parts(parts) == []


def test_parts_are_not_merged_into_what_was_begun_in_other_batches(tmp_path: Path) -> None:
    filled(replace(unwritten(tmp_path / "store"), plan=plan_of(range(4), range(4, 7))), ACTIVATIONS)
    with pytest.raises(InputError, match="was begun in other batches than"):
        merged(parts_of(tmp_path / "store", 1), tmp_path / "store")


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ([4], "shard 4"),
        ([5, 1], "shards 1, 5"),
        (range(8), "shards 0, 1, 2, 3, 4, 5, 6, 7"),
        (range(9), "shards 0, 1, 2, 3, 4, 5, 6, 7, …"),
    ],
)
def test_of_many_shards_the_first_are_named(numbers: list[int], words: str) -> None:
    assert shards_in_words(list(numbers)) == words


def test_a_store_of_more_shards_than_files_may_be_open_is_opened_for_every_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    safe_open = store_module.safe_open
    monkeypatch.setattr(
        store_module, "safe_open", lambda path, **how: opened.append(path.name) or safe_open(path, **how)
    )
    for kept_open, times in ((len(PLAN), 1), (len(PLAN) - 1, 3)):
        monkeypatch.setattr(store_module, "KEPT_OPEN", kept_open)
        store = whole_in(tmp_path / "store")
        opened.clear()
        for _ in range(3):
            store.cell(0, "-1")
        assert len(opened) == times * len(PLAN)


def test_shards_without_a_header_are_told_of_and_captured_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = whole_in(tmp_path / "store")
    in_other_batches = replace(store, plan=plan_of(range(4), range(4, 7)))
    expected = contents(filled(replace(in_other_batches, folder=tmp_path / "other"), ACTIVATIONS).folder)
    (store.folder / "store.json").unlink()
    for command in (["list"], ["verify"], ["prune", "--stores", "--yes"]):
        assert cli.main(["store", *command, str(store.folder)]) == 1
        assert f"{store.folder} has shards and no store.json, which says of what they are" in capsys.readouterr().out
    assert (store.folder / "shard-0000.safetensors").is_file()
    # In other batches a shard of the same number is of other examples.
    assert contents(filled(in_other_batches, ACTIVATIONS).folder) == expected
    assert cli.main(["store", "verify", str(store.folder)]) == 0


def test_a_store_that_another_prune_removes_first_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole_in(tmp_path / "store")
    taken_alone = Store.taken_alone

    @contextmanager
    def taken_after_another(store: Store) -> Iterator[None]:
        with taken_alone(store):
            shutil.rmtree(store.folder)
            yield

    monkeypatch.setattr(Store, "taken_alone", taken_after_another)
    assert cli.main(["store", "prune", "--yes", str(tmp_path)]) == 0


def test_a_corrupt_header_is_refused(tmp_path: Path) -> None:
    (tmp_path / "store.json").write_text('{"identity": {}}')
    with pytest.raises(InputError, match="corrupt store"):
        Store.read(tmp_path)
