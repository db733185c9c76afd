"""What Cloud Run does not sell is refused, never rounded."""

import pytest

from mopar.platforms.books import load_book
from mopar.platforms.knative.sizes import check_cloud_run
from mopar.types import Function, PlatformError

REFUSED = {
    (127, 1.0): "memory is 128 to 32768 MiB there",
    (32769, 8.0): "memory is 128 to 32768 MiB there",
    (128, 0.05): "0.08 CPU is the least there",
    (128, 1.5): "over one CPU there are 2, 4, 6, 8",
    (513, 0.33): "over 512 MiB needs 0.5 CPU there",
    (1025, 0.75): "over 1024 MiB needs 1 CPU there",
    (4097, 1.0): "over 4096 MiB needs 2 CPU there",
    (8193, 2.0): "over 8192 MiB needs 4 CPU there",
    (1024, 4.0): "4 CPUs need 2048 MiB there",
}


@pytest.mark.parametrize("size", REFUSED)
def test_what_is_not_sold_is_named_with_what_would_do(size: tuple[int, float]) -> None:
    with pytest.raises(PlatformError, match=rf"^function f0 of {size[0]} MiB .*{REFUSED[size]}: plan with --platform"):
        check_cloud_run(Function("f0", (), *size))


def test_all_that_the_price_book_sells_is_accepted() -> None:
    """The book and the rules were written apart."""
    book = load_book("cloud-run")
    for size in book.cpu_sizes:
        least = max(size.memory_min_mib, book.memory_min_mib)
        for memory in (least, size.memory_max_mib or book.memory_max_mib):
            check_cloud_run(Function("f0", (), memory, size.cpu))
