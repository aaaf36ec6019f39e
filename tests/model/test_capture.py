"""Capture: the activations of each answer alone, whatever ran together and whoever ran it."""

from __future__ import annotations

import logging
import re
import shutil
from collections import namedtuple
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from interp.activations import capture as capture_module
from interp.activations.batch_activations import batch_activations, hooks_of_sites, prefix_of, site_activations
from interp.activations.capture import Examples, capture, default_token_budget, examples_to_capture, planned_stores
from interp.activations.store import ActivationStore
from interp.activations.stores import merged, part_folder
from interp.errors import InputError
from interp.examples import Answer
from interp.models.hooked_model import HookedModel, ignores_caches, takes_prefixes
from interp.models.loading import load_model
from interp.models.model_sources import ModelSource
from interp.positions import MISSING, position_table
from interp.work import plan as plan_module
from interp.work.plan import Batch, examples_of
from tests.model.conftest import Family
from tests.random_answers import BEGINNING, POSITIONS, random_answers
from tests.stored import contents
from tests.tiny_models import IGNORES_CACHES

Usage = namedtuple("Usage", ["total", "used", "free"])


@pytest.fixture
def answers() -> list[Answer]:
    return random_answers(23)


@pytest.fixture
def table(answers: list[Answer]) -> xr.Dataset:
    return position_table(answers, POSITIONS)


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_module, "SHARD_EXAMPLES", 5)


def captured(
    model: HookedModel | Callable[[], HookedModel],
    answers: Sequence[Answer],
    folder: Path,
    *,
    sites: Sequence[str] = ("resid_post",),
    layers: Sequence[int] | None = None,
    token_budget: int = 100,
    reuse_prefixes: bool = True,
    **how: object,
) -> dict[str, ActivationStore]:
    table = position_table(answers, POSITIONS)
    load = (lambda: model) if isinstance(model, HookedModel) else model
    stores = planned_stores(
        {site: folder / site for site in sites},
        {site: {"site": site} for site in sites},
        answers,
        table,
        layers=range(load().cfg.n_layers) if layers is None else layers,
        token_budget=token_budget,
        reuse_prefixes=reuse_prefixes,
    )
    capture(load, stores, examples_to_capture(answers, table), **how)
    return stores


def assert_same(one: ActivationStore, other: ActivationStore, tolerance: float = 1e-5) -> None:
    for layer in one.layers:
        for position in POSITIONS:
            torch.testing.assert_close(
                one.cell(layer, position),
                other.cell(layer, position),
                rtol=tolerance,
                atol=tolerance,
                equal_nan=True,
            )


@pytest.mark.parametrize("reuse_prefixes", [True, False])
def test_capture_is_run_with_cache_on_each_answer_alone(
    family_model: HookedModel, answers: list[Answer], table: xr.Dataset, tmp_path: Path, reuse_prefixes: bool
) -> None:
    stores = captured(
        family_model, answers, tmp_path, sites=("resid_post", "attn_out", "head_z"), reuse_prefixes=reuse_prefixes
    )
    assert {batch.shared for shard in stores["attn_out"].plan for batch in shard} == {
        len(BEGINNING) if reuse_prefixes else 0
    }
    for site, store in stores.items():
        names = hooks_of_sites(family_model, [site])[site]
        cells = {(layer, position): store.cell(layer, position) for layer in store.layers for position in POSITIONS}
        for row, answer in enumerate(answers):
            with torch.inference_mode():
                _, cache = family_model.run_with_cache(torch.tensor([answer.token_ids]))
            for (layer, position), cell in cells.items():
                token = int(table["token"].sel(position=position)[row])
                if token == MISSING:
                    assert cell[row].isnan().all()
                else:
                    alone = cache[names[layer]][0, token].flatten()
                    torch.testing.assert_close(cell[row], alone, rtol=1e-5, atol=1e-5)


def test_every_bridge_of_the_tests_goes_on_from_a_prefix(family: Family) -> None:
    is_bridge, ignores = hasattr(family.model, "original_model"), family.source.name.endswith(IGNORES_CACHES)
    assert takes_prefixes(family.model) == (is_bridge and not ignores)
    assert ignores_caches(family.model) == (is_bridge and ignores)


def test_the_budget_does_not_matter(model: HookedModel, answers: list[Answer], tmp_path: Path) -> None:
    one = captured(model, answers, tmp_path / "1", token_budget=1)["resid_post"]
    together = captured(model, answers, tmp_path / "1000", token_budget=1000)["resid_post"]
    assert one.plan != together.plan
    assert_same(one, together)


@pytest.mark.usefixtures("small_shards")
def test_an_interrupted_capture_goes_on_and_ends_the_same(
    model: HookedModel, answers: list[Answer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    captured(model, answers, tmp_path / "whole", sites=("resid_post", "mlp_out"))
    whole = contents(tmp_path / "whole")
    for batches in range(9):
        left = iter(range(batches))

        def interrupted(*arguments: object, left: object = left) -> dict[str, torch.Tensor]:
            if next(left, None) is None:  # type: ignore[call-overload]
                raise KeyboardInterrupt
            return batch_activations(*arguments)

        folder = tmp_path / f"cut-{batches}"
        with monkeypatch.context() as patch:
            patch.setattr(capture_module, "batch_activations", interrupted)
            try:
                captured(model, answers, folder, sites=("resid_post", "mlp_out"))
            except KeyboardInterrupt:
                assert contents(folder) != whole
        captured(model, answers, folder, sites=("resid_post", "mlp_out"))
        assert contents(folder) == whole


def test_a_site_is_the_same_whatever_is_captured_with_it(
    model: HookedModel, answers: list[Answer], tmp_path: Path
) -> None:
    captured(model, answers, tmp_path / "alone", sites=("resid_mid",))
    captured(model, answers, tmp_path / "with", sites=("resid_post", "resid_mid"))
    assert contents(tmp_path / "alone" / "resid_mid") == contents(tmp_path / "with" / "resid_mid")
    # A store that is there is not captured again beside one that is not.
    captured(model, answers, tmp_path / "alone", sites=("resid_mid", "resid_post"))
    assert contents(tmp_path / "alone") == contents(tmp_path / "with")


def test_some_layers_are_those_of_all_and_nothing_above_is_run(
    model: HookedModel, answers: list[Answer], tmp_path: Path
) -> None:
    everything = captured(model, answers, tmp_path / "all")["resid_post"]
    seen: list[str] = []
    model.add_hook("blocks.2.hook_resid_pre", lambda activation, hook: seen.append("above"))
    try:
        some = captured(model, answers, tmp_path / "some", layers=(1,))["resid_post"]
    finally:
        model.reset_hooks()
    assert not seen
    assert some.layers == (1,)
    assert_same(some, everything)
    with pytest.raises(InputError, match="this model has no layer 3; its layers are 0 to 2"):
        captured(model, answers, tmp_path / "beyond", layers=(1, 3))


def test_a_batch_that_does_not_fit_is_captured_in_halves(
    model: HookedModel, answers: list[Answer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def small(model: HookedModel, sequences: list[tuple[int, ...]], *rest: object) -> dict[str, torch.Tensor]:
        if len(sequences) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return batch_activations(model, sequences, *rest)

    whole = captured(model, answers, tmp_path / "whole")["resid_post"]
    monkeypatch.setattr(capture_module, "batch_activations", small)
    assert_same(captured(model, answers, tmp_path / "halved")["resid_post"], whole)


def test_a_whole_store_needs_no_model_and_a_damaged_one_only_its_shard(
    model: HookedModel, answers: list[Answer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_module, "SHARD_EXAMPLES", 5)
    whole = captured(model, answers, tmp_path)["resid_post"]
    before = contents(tmp_path)

    def no_model() -> HookedModel:
        raise AssertionError("the model was asked for")

    captured(no_model, answers, tmp_path, layers=range(3))
    shard = whole.folder / "shard-0002.safetensors"
    shard.write_bytes(shard.read_bytes()[:-1] + b"\0")
    ran: list[int] = []

    def counted(model: HookedModel, sequences: list[tuple[int, ...]], *rest: object) -> dict[str, torch.Tensor]:
        ran.append(len(sequences))
        return batch_activations(model, sequences, *rest)

    monkeypatch.setattr(capture_module, "batch_activations", counted)
    captured(model, answers, tmp_path)
    assert sum(ran) == len(examples_of(whole.plan[2]))
    assert contents(tmp_path) == before


@pytest.mark.usefixtures("small_shards")
def test_shares_of_a_capture_merge_to_the_same_bytes(model: HookedModel, answers: list[Answer], tmp_path: Path) -> None:
    whole = captured(model, answers, tmp_path / "whole")["resid_post"]
    parts = []
    for number in range(3):
        shards = range(number, len(whole.plan), 3)
        folder = captured(model, answers, tmp_path / f"job-{number}", shards=shards)["resid_post"].folder
        part = ActivationStore.read(Path(shutil.move(folder, part_folder(tmp_path / "merged", f"{number + 1}/3"))))
        assert part is not None
        assert part.verified_shards() == set(shards)
        parts.append(part)
    assert contents(merged(parts, tmp_path / "merged").folder) == contents(whole.folder)


def test_a_disk_without_room_is_refused_before_anything_is_written(
    model: HookedModel,
    answers: list[Answer],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    needed = 3 * len(POSITIONS) * len(answers) * 32 * 4
    room = capture_module.ROOM
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(0, 0, needed + room - 1))
    with pytest.raises(InputError, match=r"the activations need 0 MB and the disk of .* has 64 MB free; make room"):
        captured(model, answers, tmp_path)
    assert not list((tmp_path / "resid_post").glob("*shard*"))
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(0, 0, needed + room))
    caplog.clear()
    with caplog.at_level(logging.INFO, logger="interp"):
        captured(model, answers, tmp_path)
    (told,) = [record.message for record in caplog.records if "to write" in record.message]
    assert re.fullmatch(r"activations: about 0 MB to write and \d+ s to go", told)


def test_the_budget_is_the_devices() -> None:
    assert [default_token_budget(device) for device in ("cpu", "cuda:1", "mps", "xpu")] == [2048, 16384, 4096, 2048]


def test_bfloat16_is_kept(source: ModelSource) -> None:
    cells = np.array([[0, 2], [1, MISSING]])
    model = load_model(source, device="cpu", dtype="bfloat16")
    streams = site_activations(model, [[5, 6, 7], [5, 6]], cells)
    assert streams.dtype is torch.bfloat16
    assert streams.shape == (3, 2, 2, 32)
    assert streams[:, 1, 1].isnan().all()
    assert not streams[:, 0].isnan().any()


def test_a_prefix_is_run_once_for_the_batches_of_a_shard(
    model: HookedModel, answers: list[Answer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not takes_prefixes(model):
        pytest.skip("HookedTransformer runs every sequence whole")
    ran: list[int] = []

    def counted(model: HookedModel, tokens: Sequence[int], *rest: object) -> object:
        ran.append(len(tokens))
        return prefix_of(model, tokens, *rest)

    monkeypatch.setattr(capture_module, "prefix_of", counted)
    store = captured(model, answers, tmp_path, token_budget=40)["resid_post"]
    assert sum(len(shard) for shard in store.plan) > 3
    assert ran == [len(BEGINNING)] * len(store.plan)


def test_keys_of_a_prefix_are_in_memory_once(family_model: HookedModel) -> None:
    if not takes_prefixes(family_model):
        pytest.skip("runs every sequence whole")
    hooks = hooks_of_sites(family_model, ["resid_post"])
    prefix = prefix_of(family_model, BEGINNING, np.array([0]), hooks)
    cache = prefix.cache_for(7)
    with torch.inference_mode():
        family_model(torch.full((7, 3), 5), return_type="logits", past_key_values=cache)
    for before, after in zip(prefix.cache.layers, cache.layers, strict=True):
        for name in ("keys", "values"):
            once, of_all = getattr(before, name), getattr(after, name)
            assert once.shape[0] == 1
            assert of_all.shape[0] == 7
            assert of_all.untyped_storage().data_ptr() == once.untyped_storage().data_ptr()


def test_a_shard_has_the_cells_of_its_own_examples_in_what_they_share(
    model: HookedModel, tmp_path: Path, small_shards: None
) -> None:
    """Of two beginnings, at cells that are anywhere, and of which no shard has those of another."""
    rng = np.random.default_rng(0)
    sequences = tuple(
        (*range(30 * begins, 30 * begins + 12), *rng.integers(2, 380, 1 + n % 4).tolist())
        for n, begins in enumerate([1, 2] * 11)
    )
    cells = np.array([rng.integers(0, len(each), 3) for each in sequences])
    cells[rng.random(cells.shape) < 0.1] = MISSING
    names = tuple(f"q{index}" for index in range(len(sequences)))
    # The two beginnings are in one shard, and those of one beginning are in shards that follow each other.
    plan = ((Batch((0, 2, 4), 12), Batch((1, 3, 5), 12)), (Batch((7, 9), 12), Batch((11, 13), 12)))
    plan += ((Batch((15, 17, 19, 21), 12),), (Batch(tuple(range(6, 22, 2)), 12),))
    store = ActivationStore(tmp_path / "store", {}, tuple(range(model.cfg.n_layers)), ("a", "b", "c"), names, plan)
    capture(lambda: model, {"resid_post": store}, Examples(sequences, cells))
    expected = site_activations(model, sequences, cells)
    for layer in store.layers:
        for column, position in enumerate(store.positions):
            cell = store.cell(layer, position)
            torch.testing.assert_close(cell, expected[layer, column], rtol=1e-5, atol=1e-5, equal_nan=True)


def test_a_batch_may_want_nothing_of_what_it_shares(model: HookedModel) -> None:
    if not takes_prefixes(model):
        pytest.skip("HookedTransformer runs every sequence whole")
    sequences, cells = [(*BEGINNING, 5, 6), (*BEGINNING, 7, 8)], np.array([[12, 13], [13, MISSING]])
    hooks = hooks_of_sites(model, ["resid_post"])
    prefix = prefix_of(model, BEGINNING, cells, hooks)
    found = batch_activations(model, sequences, cells, hooks, prefix)["resid_post"]
    expected = batch_activations(model, sequences, cells, hooks)["resid_post"]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5, equal_nan=True)


def test_layers_are_not_counted_from_the_end(model: HookedModel) -> None:
    with pytest.raises(InputError, match="this model has no layer -1; its layers are 0 to 2"):
        hooks_of_sites(model, ["resid_post"], [-1, 0])


def test_examples_are_known_by_their_tokens_and_their_cells() -> None:
    cells = np.array([[0, 2], [1, MISSING]])
    alike = Examples(((5, 6, 7), (5, 6)), cells)
    assert alike.sha256() == Examples(((5, 6, 7), (5, 6)), cells.copy()).sha256()
    others = (Examples(((5, 6, 8), (5, 6)), cells), Examples(alike.sequences, np.array([[0, 2], [0, MISSING]])))
    assert len({each.sha256() for each in (alike, *others)}) == 3


@pytest.mark.usefixtures("small_shards")
def test_a_share_has_no_shards_beyond_the_plan(model: HookedModel, answers: list[Answer], tmp_path: Path) -> None:
    """As where the store was begun in larger batches than those by which its shards were dealt out."""
    n_shards = len(captured(model, answers, tmp_path / "whole")["resid_post"].plan)
    share = captured(model, answers, tmp_path / "share", shards=[n_shards - 1, n_shards])["resid_post"]
    assert set(share.entered()) == {n_shards - 1}


def test_a_whole_store_of_another_run_is_refused(model: HookedModel, answers: list[Answer], tmp_path: Path) -> None:
    table = position_table(answers, POSITIONS)
    for seed in (0, 1):
        stores = planned_stores(
            {"resid_post": tmp_path / "store"},
            {"resid_post": {"seed": seed}},
            answers,
            table,
            layers=range(3),
            token_budget=100,
        )
        if seed == 0:
            capture(lambda: model, stores, examples_to_capture(answers, table))
    with pytest.raises(InputError, match=r"another run \(it differs in identity\); remove it"):
        capture(lambda: model, stores, examples_to_capture(answers, table))


@pytest.mark.usefixtures("small_shards")
def test_stores_that_were_begun_in_different_batches_are_ended_in_one_pass(
    model: HookedModel, answers: list[Answer], tmp_path: Path
) -> None:
    sites = ("resid_post", "mlp_out")
    whole = captured(model, answers, tmp_path / "whole", sites=sites)
    for site, budget in zip(sites, (30, 60), strict=True):
        begun = captured(model, answers, tmp_path / "begun", sites=(site,), token_budget=budget, shards=[0])[site]
        assert len(begun.entered()) == 1 < len(begun.plan)
    ended = captured(model, answers, tmp_path / "begun", sites=sites)
    assert ended["resid_post"].plan != ended["mlp_out"].plan
    for site in sites:
        assert ended[site].is_whole()
        assert_same(ended[site], whole[site])


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("finished", [0, 1])
def test_what_is_on_the_disk_needs_no_room(
    model: HookedModel, answers: list[Answer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finished: int
) -> None:
    """A shard of one of two sites is there: what is left is told once there is a shard of both."""
    sites = ("resid_post", "mlp_out")
    first = captured(model, answers, tmp_path, shards=[finished])["resid_post"]
    n_finished, of_example = len(examples_of(first.plan[finished])), 3 * len(POSITIONS) * 32 * 4
    needed = (2 * len(answers) - n_finished) * of_example + capture_module.ROOM
    # The first shard may be written by the time that the second tells what is left.
    for short in (n_finished * of_example + 1, 0):
        monkeypatch.setattr(shutil, "disk_usage", lambda folder, free=needed - short: Usage(0, 0, free))
        if short:
            with pytest.raises(InputError, match="make room"):
                captured(model, answers, tmp_path, sites=sites)
        else:
            assert captured(model, answers, tmp_path, sites=sites)["mlp_out"].is_whole()


@pytest.mark.parametrize("n_kept", [None, 1], ids=["finished", "begun"])
@pytest.mark.parametrize("budgets", [(30, 4000), (4000, 30)], ids=["larger", "smaller"])
def test_a_store_is_read_in_the_batches_in_which_it_was_begun(
    source: ModelSource, tmp_path: Path, small_shards: None, n_kept: int | None, budgets: tuple[int, int]
) -> None:
    """Whatever batches the run that reads it or goes on with it would make: they say which row is which example."""
    answers = random_answers(23)
    model = load_model(source, device="cpu", dtype="float32")
    # Without shared beginnings in the one plan, their examples are in another order, too.
    first = captured(model, answers, tmp_path, token_budget=budgets[0], reuse_prefixes=False)["resid_post"]
    reference = {name: first.cell(1, name) for name in POSITIONS}
    if n_kept is not None:
        manifest = tmp_path / "resid_post" / "manifest.jsonl"
        manifest.write_text("".join(manifest.read_text().splitlines(keepends=True)[:n_kept]))
    second = captured(model, answers, tmp_path, token_budget=budgets[1])["resid_post"]
    assert second.plan == first.plan
    for name, expected in reference.items():
        torch.testing.assert_close(second.cell(1, name), expected, rtol=1e-5, atol=1e-5, equal_nan=True)
