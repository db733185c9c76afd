"""CPU time of processes, as the kernel counts it."""

import subprocess
import sys

import pytest

from mopar.limits import cpu_ns, process_tree
from mopar.types import PlatformError

BURN = """
import sys, threading, time
def burn():
    while time.thread_time() < 0.2:
        pass
threads = [threading.Thread(target=burn) for _ in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("done", flush=True)
sys.stdin.read()
"""
PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-I", "-c", "import sys; sys.stdin.read()"], stdin=sys.stdin)
print(child.pid, flush=True)
child.wait()
"""


def start(code: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-I", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def test_cpu_time_includes_threads_that_have_ended() -> None:
    with start(BURN) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"done\n"
        assert 0.4e9 <= cpu_ns(process.pid) < 0.8e9
        process.kill()
    with pytest.raises(PlatformError, match="it has ended"):
        cpu_ns(process.pid)


def test_a_tree_has_children_of_children() -> None:
    with start(f"import subprocess, sys; subprocess.run([sys.executable, '-I', '-c', {PARENT!r}])") as process:
        assert process.stdout is not None
        grandchild = int(process.stdout.readline())
        tree = process_tree(process.pid)
        assert len(tree) == 3
        assert (tree[0], tree[-1]) == (process.pid, grandchild)
        process.communicate()  # closes what the last one reads
