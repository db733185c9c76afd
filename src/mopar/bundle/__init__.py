"""What is built of a plan: graphs with their weights, a manifest, and what equality means."""

from mopar.bundle.build import MANIFEST, build, file_entries
from mopar.bundle.equality import Difference, compare, compare_all
from mopar.bundle.open import WORKER, Bundle, fits_machine, open_bundle
from mopar.bundle.pack import pack_graph, packed_entry
from mopar.bundle.prepare import prepare

__all__ = [
    "MANIFEST",
    "WORKER",
    "Bundle",
    "Difference",
    "build",
    "compare",
    "compare_all",
    "file_entries",
    "fits_machine",
    "open_bundle",
    "pack_graph",
    "packed_entry",
    "prepare",
]
