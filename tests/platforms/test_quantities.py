"""Quantities are Kubernetes' own: what we write is read back, and what platforms misread is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mopar.platforms.quantities import cpu_quantity, memory_quantity, parse_cpu, parse_memory_mib
from mopar.types import UsageError


@given(mib=st.integers(1, 1 << 40), milli=st.integers(1, 1 << 20))
def test_what_is_written_is_read_back(mib: int, milli: int) -> None:
    assert parse_memory_mib(memory_quantity(mib), "") == mib
    assert parse_cpu(cpu_quantity(milli / 1000), "") == milli / 1000


@pytest.mark.parametrize(
    ("text", "mib"), [("128Mi", 128), ("128M", 123), ("0.25Gi", 256), ("1k", 1), ("1.5Gi", 1536), ("2Ki", 1)]
)
def test_memory_is_read(text: str, mib: int) -> None:
    assert parse_memory_mib(text, "") == mib


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        ("128MB", "128M"), ("128MiB", "128Mi"), ("1GB", "1G"), ("64m", "64Mi"), ("2g", "2Gi"), ("128", "128Mi"),
        ("", "128Mi"), ("0Mi", "128Mi"), ("-1Mi", "128Mi"), ("1e3Mi", "128Mi"), ("nanMi", "128Mi"), ("1 Mi", "128Mi"),
        ("\u0661Mi", "128Mi"), ("1Mi\n", "128Mi"), ("9" * 400 + "Gi", "128Mi"),
    ],
)  # fmt: skip
def test_what_a_platform_would_misread_is_refused_with_what_to_write(text: str, instead: str) -> None:
    with pytest.raises(UsageError, match=rf"--memory .*: write memory as a Kubernetes quantity, such as {instead}$"):
        parse_memory_mib(text, "--memory")


@pytest.mark.parametrize(
    ("cpu", "text"), [(0.5, "500m"), (2.0, "2"), (0.0801, "81m"), (1 / 3, "334m"), (0.1 + 0.2, "300m")]
)
def test_cpus_are_rounded_up_to_thousandths(cpu: float, text: str) -> None:
    assert cpu_quantity(cpu) == text


@pytest.mark.parametrize("text", ["", "0", "0m", "m", "1.5m", "-1", "1e9", "inf", "0.5 CPU", "9" * 400])
def test_no_cpus_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"--cpu .*: write CPUs as a Kubernetes quantity, such as 500m or 2$"):
        parse_cpu(text, "--cpu")
