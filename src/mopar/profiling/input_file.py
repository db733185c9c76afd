"""Inputs read from a file, within the memory that is free."""

import zipfile
from pathlib import Path

import numpy as np

from mopar.files import open_regular
from mopar.machine import available_bytes
from mopar.profiling.inputs import Array
from mopar.types import InputError, element_count


def load_inputs(path: Path) -> dict[str, Array]:
    """The arrays of an ``.npz`` file, by name.

    Raises:
        InputError: there is no such file, it is no ``.npz`` file, or an array in it is a pickled object.
    """
    try:
        # Opened here, because numpy leaves a damaged archive open.
        with open_regular(path) as file:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise InputError(f"{path}: one array without a name; save inputs with numpy.savez(FILE, NAME=array)")
            _check_size(archive, path)
            return {name: archive[name] for name in archive.files}
    except OSError as cause:
        raise InputError(f"{path}: {cause.strerror or 'not an .npz file'}") from cause
    except (ValueError, EOFError, zipfile.BadZipFile, KeyError) as cause:
        raise InputError(f"{path}: not an .npz file of plain arrays; save it with numpy.savez") from cause


def _check_size(archive: np.lib.npyio.NpzFile, path: Path) -> None:
    """See that there is memory for all arrays, and as much data of each as its header says: a small file can hold much.

    Raises:
        InputError: there is not so much memory.
        ValueError: an array is cut short.
    """
    assert archive.zip is not None, "it was opened a moment ago"
    total = 0
    for entry in archive.zip.infolist():
        total += entry.file_size
        with archive.zip.open(entry) as member:
            first = np.lib.format.read_magic(member) == (1, 0)
            read_header = np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
            shape, _, dtype = read_header(member)
        if not dtype.hasobject and element_count(shape) * dtype.itemsize > entry.file_size:
            raise ValueError(f"{entry.filename} is cut short")
    if total > (most := available_bytes()):
        raise InputError(f"{path}: its arrays have {total >> 20} MiB, and {most >> 20} MiB of memory are free")
