"""Price books and limits: all shipped ones load; a user's mistakes are reported with file and key."""

from pathlib import Path

import pytest

from mopar.platforms.books import book_names, limit_names, load_book, load_limits
from mopar.types import UsageError

GOOD = """
date = "2026-01-01"
source = "a test"
gib_s_usd = 0.00001
vcpu_s_usd = 0
request_usd = 0.0
memory_min_mib = 64
memory_max_mib = 4096
memory_step_mib = 64
billing_unit_ms = 1
cpu_per_function = 1
init_billed = false
cold_rate = 0.0
"""


def test_every_book_and_limit_that_ships_loads_dated_and_sourced() -> None:
    expected = {"paper", "aws-lambda-x86", "aws-lambda-arm", "cloud-run", "openfaas", "azure-functions", "alibaba-fc"}
    assert expected <= set(book_names())
    for name in book_names():
        book = load_book(name)
        assert book.name == name
        assert book.date
        assert book.source
    assert {"local", "openfaas", "aws-lambda"} <= set(limit_names())
    for name in limit_names():
        assert load_limits(name).prices in book_names()


def test_known_prices() -> None:
    """Well-known figures: the price of a GiB-hour, a vCPU-hour and a million requests."""
    assert load_book("openfaas").gib_s_usd * 3600 == pytest.approx(0.004445, rel=1e-6)
    assert load_book("openfaas").vcpu_s_usd * 3600 == pytest.approx(0.04048, rel=1e-6)
    assert load_book("aws-lambda-x86").request_usd * 1e6 == pytest.approx(0.20)
    assert load_book("aws-lambda-x86").mib_per_vcpu == 1769
    assert load_book("paper").billing_unit_ms == 0
    assert load_limits("local").max_functions == 14
    assert load_limits("aws-lambda").hop_ms_per_mib > 0
    assert [name for name in limit_names() if load_limits(name).shares_memory] == ["container", "local"]


def test_a_users_own_file(tmp_path: Path) -> None:
    path = tmp_path / "ours.toml"
    path.write_text(GOOD)
    book = load_book(str(path))
    assert book.name == "ours"
    assert book.mib_per_vcpu is None
    assert book.memory_step_mib == 64


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package with three books: a valid one, one named like one of mopar's, and one that is no path."""
    info = tmp_path / "ours-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ours\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[mopar.books]\nours = ours_books:OURS\npaper = ours_books:OURS\nbad = ours_books:NO\n"
    )
    (tmp_path / "ours_books.py").write_text(
        "from pathlib import Path\nOURS, NO = Path(__file__).with_name('ours.toml'), 1\n"
    )
    (tmp_path / "ours.toml").write_text(GOOD)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("plugin")
def test_a_package_brings_books_and_shadows_none() -> None:
    assert "ours" in book_names()
    assert load_book("ours").memory_step_mib == 64
    for name, why in (("paper", "own name"), ("bad", "no Path")):
        with pytest.raises(UsageError, match=why):
            load_book(name)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (("cold_rate = 0.0", "cold_rate = 0.0\ncpu_sizes = [{ cpu = 0 }]"), "cpu_sizes"),
        (("cold_rate = 0.0", "cold_rate = 0.0\ncpu_sizes = [{ cpu = 1, memory_max_mib = 512 }]"), "4096"),
        (("cold_rate = 0.0", "cold_rate = 0.0\nmib_per_vcpu = 512\ncpu_sizes = [{ cpu = 1 }]"), "mib_per_vcpu"),
        (("memory_step_mib = 64", "memory_step_mib = -1"), "memory_step_mib"),
        (("memory_step_mib = 64", "memory_step_mib = 0"), "memory_step_mib"),
        (("memory_step_mib = 64", "memory_step_mib = 1.5"), "memory_step_mib"),
        (("cold_rate = 0.0", "cold_rate = 2.0"), "cold_rate"),
        (("cold_rate = 0.0", "cold_rate = nan"), "cold_rate"),
        (("cold_rate = 0.0", "colt_rate = 0.0"), "colt_rate"),
        (("cold_rate = 0.0", ""), "cold_rate"),
        (('date = "2026-01-01"', "date = 3"), "date"),
        (("init_billed = false", "init_billed = 1"), "init_billed"),
        (("gib_s_usd = 0.00001", "gib_s_usd = true"), "gib_s_usd"),
        (("memory_max_mib = 4096", "memory_max_mib = 32"), "memory_max_mib"),
        (("cold_rate = 0.0", "cold_rate ="), "not valid TOML"),
    ],
)
def test_mistakes_name_file_and_key(tmp_path: Path, change: tuple[str, str], named: str) -> None:
    path = tmp_path / "broken.toml"
    path.write_text(GOOD.replace(*change))
    with pytest.raises(UsageError, match=r"broken\.toml: .*") as caught:
        load_book(str(path))
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def test_limits_must_be_dated(tmp_path: Path) -> None:
    path = tmp_path / "nowhere.toml"
    path.write_text('source = "x"\nprices = "paper"\npayload_factor = 1.0\n')
    with pytest.raises(UsageError, match="date"):
        load_limits(str(path))


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        ("hop_ms = 1.0", "hop_ms_per_mib is missing"),
        ("", "hop_ms is missing"),
        ("shares_host = true\nhop_ms = 1", "hop_ms_per_mib is missing"),
    ],
)
def test_calls_are_measured_or_stated(tmp_path: Path, lines: str, named: str) -> None:
    """Where functions share memory on the profile's host a call was measured; else the platform states its cost."""
    path = tmp_path / "far.toml"
    path.write_text(f'date = "2026-01-01"\nsource = "x"\nprices = "paper"\npayload_factor = 1.0\n{lines}\n')
    with pytest.raises(UsageError, match=r"far\.toml: .*shares_host") as caught:
        load_limits(str(path))
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_names_list_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="paper"):
        load_book("papr")
    with pytest.raises(UsageError, match="local"):
        load_limits("locl")
    with pytest.raises(UsageError, match=r"absent\.toml"):
        load_book(str(tmp_path / "absent.toml"))
