"""Real cgroups, of the version that this machine has: tests what the kernel does, not what was written to it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mopar.limits import Cgroup, Cgroups, charge_foreign, detect_cgroups
from mopar.limits.owner import is_stale, owned_name
from mopar.types import PlatformError, UsageError

pytestmark = pytest.mark.cgroup

MIB = 1 << 20
# Prints its progress line by line, so that the output of a killed process is complete.
ALLOCATE = """
import sys
held = []
for mib in range(int(sys.argv[1])):
    held.append(bytearray(b"x") * (1 << 20))
print("done", flush=True)
sys.stdin.read()
"""
MAP = """
import mmap, sys
with open(sys.argv[1], "rb") as file:
    pages = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
sum(pages[::4096])
print("mapped", flush=True)
sys.stdin.readline()
held = bytearray(40 << 20)
print("done", flush=True)
"""
BURN = "import time\nend = time.monotonic() + float(__import__('sys').argv[1])\nwhile time.monotonic() < end: pass"


@pytest.fixture
def groups() -> Cgroups:
    found = detect_cgroups()
    assert found is not None  # the mark skips tests where there are none
    return found


@pytest.fixture
def group(groups: Cgroups) -> Iterator[Cgroup]:
    with groups.create("test") as made:
        yield made


def start(group: Cgroup, code: str, *arguments: str) -> subprocess.Popen[bytes]:
    command = group.join_command([sys.executable, "-I", "-c", code, *arguments])
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def finish(process: subprocess.Popen[bytes]) -> bytes:
    return process.communicate(timeout=30)[0]


def test_a_process_over_its_limit_is_killed_and_one_below_is_not(group: Cgroup) -> None:
    group.limit(64 * MIB, 1.0)
    inside = start(group, ALLOCATE, "30")
    assert finish(inside) == b"done\n"
    assert group.oom_kills() == 0
    beyond = start(group, ALLOCATE, "100")
    assert finish(beyond) == b""
    assert beyond.returncode == -signal.SIGKILL
    assert group.oom_kills() == 1
    assert group.peak_bytes() <= 64 * MIB


def test_a_limit_can_be_raised_lowered_and_lifted(group: Cgroup) -> None:
    for memory_mib, cpu in ((64, 0.5), (128, 1.0), (32, 0.25), (None, None)):
        group.limit(None if memory_mib is None else memory_mib * MIB, cpu)
    assert finish(start(group, ALLOCATE, "100")) == b"done\n"


def test_anonymous_memory_is_counted_from_exec_on(group: Cgroup) -> None:
    process = start(group, ALLOCATE, "40")
    assert process.stdout is not None
    assert process.stdout.readline() == b"done\n"
    stat = group.stat()
    assert 40 * MIB <= stat.anon <= 60 * MIB
    assert stat.anon <= group.usage_bytes() <= group.peak_bytes()
    assert group.pids() == {process.pid}
    finish(process)


def test_a_quota_of_a_quarter_allows_a_quarter_of_the_time(group: Cgroup) -> None:
    group.limit(None, 0.25)
    finish(start(group, BURN, "0.6"))
    # The quota limits CPU time from above; how far below it stays depends on the machine's load.
    assert 0 < group.cpu_ns() < 0.35 * 0.6e9


def test_pages_charged_to_others_are_taken_off_the_limit(groups: Cgroups, group: Cgroup, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.write_bytes(bytes(32 * MIB))
    group.limit(64 * MIB, 1.0)
    process = start(group, MAP, str(shared))
    assert process.stdout is not None
    assert process.stdout.readline() == b"mapped\n"
    held = groups.holding(process.pid)
    assert held is not None
    assert held.directories == group.directories
    charge_foreign(held, process.pid)
    limit = group.memory_limit()
    assert limit is not None
    assert limit <= 32 * MIB
    assert process.communicate(b"\n", timeout=30)[0] == b""  # 40 MiB more fit beside none of the 32
    assert group.oom_kills() == 1


def test_a_process_of_no_group_of_ours_is_left_alone(groups: Cgroups) -> None:
    assert groups.holding(os.getpid()) is None


def test_page_cache_can_be_dropped(group: Cgroup, tmp_path: Path) -> None:
    data = tmp_path / "data"
    finish(start(group, "import sys; open(sys.argv[1], 'wb').write(bytes(16 << 20))", str(data)))
    assert group.stat().file >= 15 * MIB
    with data.open("rb") as file:
        os.fsync(file.fileno())  # dirty pages stay
    group.drop_caches()
    assert group.stat().file < 2 * MIB


def test_removal_ends_what_still_runs(groups: Cgroups) -> None:
    group = groups.create("test")
    process = start(group, ALLOCATE, "1")
    assert process.stdout is not None
    assert process.stdout.readline() == b"done\n"
    group.remove()
    assert process.wait(timeout=10) == -signal.SIGKILL
    assert not any(path.exists() for path in group.directories)
    group.remove()
    with pytest.raises(PlatformError, match="cannot read"):
        group.usage_bytes()
    finish(process)


def test_arguments_reach_the_command_unchanged(group: Cgroup) -> None:
    hostile = ["a b", "$HOME", "'", '"', "; exit 3", "", "*", "\\"]
    process = start(group, "import sys; print(ascii(sys.argv[1:]))", *hostile)
    assert finish(process).decode().strip() == ascii(hostile)


def test_a_group_that_is_gone_refuses_to_be_joined(groups: Cgroups) -> None:
    group = groups.create("test")
    group.remove()
    done = subprocess.run(group.join_command(["true"]), capture_output=True, check=False, timeout=10)
    assert done.returncode == 125


def test_groups_of_a_dead_owner_are_swept_and_ours_are_not(groups: Cgroups, group: Cgroup) -> None:
    code = "from mopar.limits import detect_cgroups; print(*detect_cgroups().create('lost').directories, sep='\\n')"
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=30).stdout
    left = [Path(line) for line in made.decode().splitlines()]
    assert left
    assert all(path.exists() for path in left)
    assert groups.sweep_stale() >= 1
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in group.directories)


def test_a_reused_process_id_does_not_keep_a_group_alive() -> None:
    name = owned_name("x")
    prefix, namespace, pid, started, rest = name.split("-", 4)
    assert not is_stale(name)
    assert is_stale("-".join((prefix, namespace, pid, str(int(started) - 1), rest)))
    # Processes of another container are invisible here: its groups must not be treated as stale.
    assert not is_stale("-".join((prefix, str(int(namespace) - 1), pid, "1", rest)))
    assert not is_stale("mopar-of-someone-else")


def test_labels_cannot_leave_the_hierarchy(groups: Cgroups) -> None:
    with pytest.raises(UsageError, match="cgroup label"):
        groups.create("../x")
