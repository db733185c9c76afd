"""Detection of cgroups, on fake trees: every machine has only one of these configurations."""

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from mopar.limits import Cgroup, detect_cgroups, why_unavailable
from mopar.limits.mounts import UNIFIED, hierarchies
from mopar.limits.v2 import CgroupV2

V2_MOUNT = "30 25 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"


@dataclass
class Tree:
    """A folder that stands for /; folders of a fake hierarchy have the files that a kernel would create."""

    root: Path

    def write(self, path: str, text: str) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def proc(self, mountinfo: str, memberships: str) -> None:
        self.write("proc/self/mountinfo", mountinfo)
        self.write("proc/self/cgroup", memberships)

    def group(self, path: str, *, controllers: str = "cpu memory", handed_down: str = "", procs: str = "") -> Path:
        self.write(f"{path}/cgroup.controllers", controllers)
        self.write(f"{path}/cgroup.subtree_control", handed_down)
        self.write(f"{path}/cgroup.procs", procs)
        return self.root / path


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    bare = Path.rmdir

    def rmdir(path: Path) -> None:
        """Remove like the kernel: a group's files are removed with it."""
        for file in list(path.iterdir()):
            file.unlink()
        bare(path)

    monkeypatch.setattr(Path, "rmdir", rmdir)
    return Tree(tmp_path)


def made(tree: Tree) -> Cgroup:
    groups = detect_cgroups(tree.root)
    assert groups is not None, why_unavailable(tree.root)
    return groups.create("fn")


def test_v2_group_is_made_below_our_own_where_controllers_are_handed_down(tree: Tree) -> None:
    tree.proc(V2_MOUNT, "0::/app.slice/app.scope\n")
    tree.group("sys/fs/cgroup")
    own = tree.group("sys/fs/cgroup/app.slice/app.scope", handed_down="cpu memory pids")
    group = made(tree)
    assert isinstance(group, CgroupV2)
    assert [path.parent for path in group.directories] == [own]


def test_v2_process_alone_in_its_group_steps_aside_and_hands_controllers_down(tree: Tree) -> None:
    tree.proc(V2_MOUNT, "0::/app.scope\n")
    own = tree.group("sys/fs/cgroup/app.scope", procs=f"{os.getpid()}\n")
    group = made(tree)
    assert group.directories[0].parent == own
    (aside,) = own.glob("mopar-*-self")
    assert (aside / "cgroup.procs").read_text() == str(os.getpid())
    assert (own / "cgroup.subtree_control").read_text() == "+cpu +memory"


def test_v2_next_group_up_serves_where_our_own_lacks_a_controller(tree: Tree) -> None:
    tree.proc(V2_MOUNT, "0::/a/b\n")
    tree.group("sys/fs/cgroup")
    parent = tree.group("sys/fs/cgroup/a", handed_down="cpu memory")
    tree.group("sys/fs/cgroup/a/b", controllers="cpu")
    assert made(tree).directories[0].parent == parent


def test_v2_without_controllers_says_what_is_missing(tree: Tree) -> None:
    tree.proc(V2_MOUNT, "0::/a\n")
    tree.group("sys/fs/cgroup", controllers="cpu pids")
    tree.group("sys/fs/cgroup/a", controllers="pids")
    assert detect_cgroups(tree.root) is None
    reason = why_unavailable(tree.root)
    assert reason is not None
    assert reason.endswith("a has no cpu and no memory controller")


def test_v2_limits_and_figures_use_the_files_of_the_kernels_documentation(tree: Tree) -> None:
    tree.proc(V2_MOUNT, "0::/\n")
    tree.group("sys/fs/cgroup", handed_down="cpu memory")
    group = made(tree)
    name = str(group.directories[0].relative_to(tree.root))
    swap = tree.write(f"{name}/memory.swap.max", "max")
    group.limit(100 << 20, 0.5)
    assert (group.directories[0] / "memory.max").read_text() == str(100 << 20)
    assert (group.directories[0] / "cpu.max").read_text() == "10000 20000"
    assert swap.read_text() == "0"
    group.lower(50 << 20)
    assert group.memory_limit() == 50 << 20
    group.limit(None, None)
    assert group.memory_limit() is None
    assert (group.directories[0] / "memory.max").read_text() == "max"
    assert (group.directories[0] / "cpu.max").read_text() == "max 20000"

    tree.write(f"{name}/memory.current", "5000\n")
    assert group.peak_bytes() == 5000, "before Linux 5.19 there is no peak"
    tree.write(f"{name}/memory.peak", "7000\n")
    tree.write(f"{name}/memory.stat", "anon 10\nfile 20\nkernel 3\nfile_mapped 12\nshmem 4\ninactive_file 5\n")
    tree.write(f"{name}/memory.events", "low 0\nhigh 0\nmax 9\noom 2\noom_kill 1\n")
    tree.write(f"{name}/cpu.stat", "usage_usec 1500\nuser_usec 1000\n")
    reclaim = tree.write(f"{name}/memory.reclaim", "")
    kill = tree.write(f"{name}/cgroup.kill", "")
    stat = group.stat()
    assert (stat.anon, stat.file, stat.mapped, stat.shmem, stat.inactive_file, stat.kernel) == (10, 20, 12, 4, 5, 3)
    assert stat.unreclaimable == 14
    assert (group.usage_bytes(), group.peak_bytes()) == (5000, 7000)
    assert (group.oom_kills(), group.cpu_ns()) == (1, 1_500_000)
    group.drop_caches()
    group.kill_all()
    assert (reclaim.read_text(), kill.read_text()) == ("5000", "1")
    group.remove()
    assert not group.directories[0].exists()


def test_v1_hierarchies_are_found_apart_together_and_bind_mounted(tree: Tree) -> None:
    tree.proc(
        "1 0 0:1 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
        "2 0 0:2 /docker/abc /sys/fs/cgroup/my\\040memory ro shared:9 - cgroup cgroup rw,memory\n"
        "3 0 0:3 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
        "4 0 0:4 / /data rw - ext4 /dev/sda rw\n",
        "5:memory:/docker/abc/inner\n4:cpu,cpuacct:/user.slice\n1:name=systemd:/init\n0::/hidden/../..\n",
    )
    found = hierarchies(tree.root)
    top = tree.root / "sys/fs/cgroup"
    assert set(found) == {"cpu", "cpuacct", "memory", UNIFIED}
    assert found["memory"].own == top / "my memory/inner"
    assert found["cpu"].own == found["cpuacct"].own == top / "cpu,cpuacct/user.slice"
    assert found[UNIFIED].own == top / "unified"


def test_v1_limits_memory_with_swap_and_joins_each_mount_once(tree: Tree) -> None:
    tree.proc(
        "1 0 0:1 / /cg/cpu rw - cgroup cgroup rw,cpu,cpuacct\n2 0 0:2 / /cg/memory rw - cgroup cgroup rw,memory\n",
        "2:memory:/\n1:cpu,cpuacct:/\n",
    )
    tree.write("cg/cpu/cgroup.procs", "")
    tree.write("cg/memory/cgroup.procs", "")
    group = made(tree)
    memory, cpu = group.directories
    swap = tree.write(str((memory / "memory.memsw.limit_in_bytes").relative_to(tree.root)), "")
    group.limit(1 << 20, 2.0)
    assert (memory / "memory.limit_in_bytes").read_text() == swap.read_text() == str(1 << 20)
    assert (memory / "memory.swappiness").read_text() == "0"
    assert (cpu / "cpu.cfs_quota_us").read_text() == "40000"


@pytest.mark.parametrize(
    ("mountinfo", "memberships", "reason"),
    [
        ("", "", "no cgroup hierarchy is mounted"),
        ("2 0 0:2 / /cg rw - cgroup cgroup rw,memory\n", "1:memory:/\n", "cgroup v1: no cpu and no cpuacct hierarchy"),
    ],
)
def test_where_nothing_can_be_limited_the_reason_is_one_line(
    tree: Tree, mountinfo: str, memberships: str, reason: str
) -> None:
    tree.proc(mountinfo, memberships)
    assert detect_cgroups(tree.root) is None
    assert (why_unavailable(tree.root) or "").startswith(reason)
