"""Files and folders are complete or absent, at whatever moment a signal ends the program."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from mopar.files import temporary_folder, whole_file


def in_a_folder(home: Path) -> None:
    with temporary_folder("room-", home) as folder:
        (folder / "inside").mkdir()
        (folder / "inside" / "file").write_bytes(b"something")


def a_whole_file(home: Path) -> None:
    with whole_file(home / "file") as temporary:
        temporary.write_bytes(b"something")


# Files open at that moment are closed with the process.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(("use", "left"), [(in_a_folder, set()), (a_whole_file, {"file"})])
def test_a_signal_at_any_moment_leaves_nothing_behind(
    use: Callable[[Path], None], left: set[str], tmp_path: Path
) -> None:
    moment, interrupted = 0, True
    while interrupted:
        home = tmp_path / str(moment)
        home.mkdir()
        interrupted = interrupted_at(moment, use, home)
        found = {path.name for path in home.iterdir()}
        assert found in (set(), left), f"interrupted at call {moment}"
        moment += 1
    assert moment > 30
    assert found == left


def interrupted_at(moment: int, use: Callable[[Path], None], home: Path) -> bool:
    """Run ``use`` with a KeyboardInterrupt at a moment; return whether it got that far.

    The interpreter checks for signals where a function begins, and where a call returns.
    """
    passed = 0

    def count(_frame: FrameType, event: str, _arg: Any) -> None:
        nonlocal passed
        if event in ("call", "c_return"):
            passed += 1
            if passed == moment + 1:
                raise KeyboardInterrupt

    sys.setprofile(count)
    try:
        use(home)
    except (KeyboardInterrupt, OSError):  # the latter from the former, by rmtree
        return True
    finally:
        sys.setprofile(None)
    return False
