"""Files that are either whole or not there."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from interp.errors import InputError

if TYPE_CHECKING:
    import xarray as xr

DISK_FAULTS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS}
"""What the system says of a disk that is full, over its quota or its largest file, failing, or read-only."""

CHUNK = 1 << 20
"""Bytes that are hashed and written at a time: they stay in the processor's cache between the two."""


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`, and put it in place of `path` once it is written and on the disk.

    A reader, or a run that resumes after a kill, sees the old file or the new one and never a part. If the body
    raises, the temporary file is removed and `path` stays as it was.

    Raises
    ------
    InputError
        If the folder cannot be made or written to, or the disk has no room for the file or fails.
    """
    make_folder(path.parent)
    try:
        temporary = _made_beside(path)
        rights = temporary.stat().st_mode
    except OSError as error:
        raise cannot_write(path.parent, error) from error
    try:
        yield temporary
        _flush(temporary)
        if temporary.stat().st_mode != rights:
            temporary.chmod(rights)  # Some libraries, such as safetensors, put a private file of their own there.
        if path.is_dir():
            raise InputError(f"cannot write {path}: it is a folder; give the path of a file")
        os.replace(temporary, path)
        _flush(path.parent)
    except Exception as error:
        if fault := disk_fault(error):
            raise cannot_write(path.parent, fault) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_if_other(path: Path, contents: bytes) -> bool:
    """Write a whole file, but leave one as it is that has these contents, with its time; whether it was written."""
    if path.is_file() and path.read_bytes() == contents:
        return False
    with whole_file(path) as temporary:
        temporary.write_bytes(contents)
    return True


def write_netcdf(path: Path, dataset: xr.Dataset, encoding: Mapping[str, Any] | None = None) -> None:
    """Write a whole netCDF file (HDF5), as it is in memory: HDF5 itself ends the process if a disk becomes full."""
    contents = dataset.to_netcdf(engine="h5netcdf", encoding=encoding)
    with whole_file(path) as temporary:
        temporary.write_bytes(contents)


def lock_of(path: Path) -> FileLock:
    """The lock by which processes tell each other that they write a file or folder; hidden beside it."""
    return FileLock(path.with_name(f".{path.name}.lock"))


def make_folder(folder: Path) -> Path:
    """Make `folder` and its parents if they are not there; raise an `InputError` that names it if that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from error
    if not os.access(folder, os.W_OK):
        raise InputError(f"cannot write to {folder}: permission denied; choose another folder or change its rights")
    return folder


def sha256(path: Path) -> str:
    """The SHA-256 of a file's contents, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def written_sha256(path: Path, parts: Iterable[bytes | memoryview]) -> str:
    """Fill a file that is there, and return the SHA-256 of what was written, without a second reading."""
    digest = hashlib.sha256()
    descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC)
    try:
        for part in parts:
            for start in range(0, len(part), CHUNK):
                chunk = memoryview(part)[start : start + CHUNK]
                digest.update(chunk)
                while chunk:
                    chunk = chunk[os.write(descriptor, chunk) :]
    finally:
        os.close(descriptor)
    return digest.hexdigest()


def _flush(path: Path) -> None:
    """Make the file's contents, or the folder's entries, durable: a rename alone may overtake the data it names."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _made_beside(path: Path) -> Path:
    """A hidden file beside `path`, with the rights of any new file there: a group's folder may have its own."""
    made = path.with_name(f".{path.name}.{secrets.token_hex(4)}{path.suffix}")
    os.close(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    return made


def disk_fault(error: BaseException | None) -> OSError | None:
    """What the disk said, also where a library that writes files raises an error of its own after it; else None."""
    while error is not None and not isinstance(error, InputError):
        # Rust's libraries, such as safetensors, have the number in their text.
        said = error.errno if isinstance(error, OSError) else re.search(r"\(os error (\d+)\)", str(error))
        number = int(said[1]) if isinstance(said, re.Match) else said
        if number in DISK_FAULTS:
            return OSError(number, os.strerror(number))
        error = error.__cause__ or error.__context__
    return None


def cannot_write(folder: Path, error: OSError) -> InputError:
    """The one line for whatever kept something from being written to a folder."""
    reason = (error.strerror or str(error)).lower()
    return InputError(
        f"cannot write to {folder}: {reason}; make room and rights there, or choose another folder; what was finished "
        "before is kept, and the same command goes on from there"
    )
