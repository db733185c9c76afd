"""Errors of an engine reach the user in one line that says what would do.

Engines here are scripts: a real one cannot be made to fail in these ways.
"""

import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from mopar.platforms.container.builder import EngineImages
from mopar.platforms.container.building import build_images
from mopar.platforms.container.command import CommandError, Commands
from mopar.platforms.container.engine import Container, Engine
from mopar.platforms.container.failures import why_it_ended
from mopar.platforms.container.images.image import Image
from mopar.platforms.container.images.layers import Layer
from mopar.platforms.container.labels import FUNCTION
from mopar.platforms.container.options import ContainerOptions
from mopar.platforms.container.release import Release, ReleasePlan
from mopar.platforms.container.specs import ContainerSpec
from mopar.platforms.images import ImageOptions
from mopar.types import MoparError, PlatformError, UsageError

Script = Callable[[str], Commands]


@pytest.fixture
def scripted(tmp_path: Path) -> Script:
    """An engine that runs a script."""

    def made(text: str) -> Commands:
        path = tmp_path / "podman"
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return Commands(str(path), "runc")

    return made


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("Error: writing blob: no space left on device", "podman build: writing blob: .*: make room"),
        ("Error: crun: cgroups in hybrid mode not supported", "--runtime, such as runc"),
        ("level=warning msg=cgroups-v1\nError: no such volume", "podman build: no such volume$"),
        ("Error: netavark: nftables error", "--network host"),
        ("building\nError: one\n two of no use", "podman build: one$"),
        ("", "podman build: exit status 3$"),
    ],
)
def test_the_last_error_is_named_with_what_would_do(scripted: Script, said: str, message: str) -> None:
    engine = scripted(f"printf '{said}' >&2; exit 3".replace("\n", "\\n"))
    with pytest.raises(CommandError, match=message) as caught:
        engine.ask(["build"], 20.0)
    assert "\n" not in str(caught.value)


PUSHED = "127.0.0.1:5000/team/m-f0:1"
BLOB = "Error: writing blob: uploading layer chunked: "
MANIFEST = f"Error: writing manifest: uploading manifest 1 to {PUSHED}: "


@pytest.mark.parametrize(
    ("said", "would_do"),
    [
        (f'{BLOB}StatusCode: 413, "<html>"', "smaller functions, raise its limit, or choose another --registry"),
        (f"{MANIFEST}StatusCode: 413, x", "smaller functions, raise its limit, or choose another --registry"),
        (f"{BLOB}size invalid: layer too large", "takes nothing that large"),
        (f"{BLOB}denied: Quota exceeded: 10 MiB", "remove images there, plan smaller functions"),
        (f"{MANIFEST}denied: will exceed the configured upper limit of 1 GiB", "remove images there"),
        (f"{BLOB}received unexpected HTTP status: 507 Insufficient Storage", "remove images there"),
        (f"{BLOB}received unexpected HTTP status: 500 Internal Server Error", "its disk may be full: look at its log"),
        (
            "Error: write /var/tmp/layer: no space left on device",
            "of this machine or of the registry is full: make room",
        ),
        (f"{BLOB}unauthorized", "podman login"),
        ("Error: pinging: http: server gave HTTP response to HTTPS client", "list it as insecure"),
    ],
)
def test_an_image_that_cannot_be_pushed_is_named_with_what_would_do(
    scripted: Script, tmp_path: Path, said: str, would_do: str
) -> None:
    """What podman printed for registries that refused, with and without a body of their own, and for full disks."""
    scripted(f"echo '{said}' >&2; exit 125")
    with pytest.raises(PlatformError) as caught:
        EngineImages(ImageOptions(engine=str(tmp_path / "podman"))).push({"f0": PUSHED}, lambda _: None)
    message = str(caught.value)
    assert message.startswith(f"the image of f0 cannot be pushed to {PUSHED}: podman push: ")
    assert would_do in message
    assert "\n" not in message


@pytest.mark.parametrize("said", [None, "Error: committing: " + "x" * 3000 + ": write /layer: no space left on device"])
def test_a_full_disk_names_the_image_that_was_built(
    scripted: Script, monkeypatch: pytest.MonkeyPatch, said: str | None
) -> None:
    """The engine's disk, or the one of the build context, which is written first."""
    engine = scripted("exit 0" if said is None else f"case $3 in build) echo '{said}' >&2; exit 1;; esac")
    if said is None:
        monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=0))
    image = Image("f7", (Layer("own", "digest", 1, Path.mkdir),), {}, ("run",), None, "")
    with pytest.raises(
        MoparError, match=r"^the image of f7 cannot be built: .*[Nn]o space left on device: .*make room"
    ):
        build_images(Engine(engine), "m", [image], lambda _: None)


@pytest.mark.parametrize(
    ("image", "plain"),
    [
        ("127.0.0.1:5000/m-f0:1", True),
        ("localhost:5000/team/m-f0:1", True),
        ("[::1]:5000/m-f0:1", True),
        ("registry.local:5000/m-f0:1", False),
        ("127.example.com/m-f0:1", False),
        ("docker.io/127.0.0.1/m-f0:1", False),
    ],
)
def test_only_a_registry_on_loopback_may_do_without_https(
    scripted: Script, tmp_path: Path, image: str, plain: bool
) -> None:
    Engine(scripted(f'echo "$@" > {tmp_path}/words')).push(image)
    flag = " --tls-verify=false" if plain else ""
    assert (tmp_path / "words").read_text() == f"--runtime runc push{flag} {image}\n"


def test_the_runtime_is_named_before_each_command_of_podman(scripted: Script) -> None:
    assert scripted('echo "$@"').ask(["ps", "--all"], 20.0) == "--runtime runc ps --all\n"


def test_a_command_that_hangs_is_ended(scripted: Script) -> None:
    began = time.monotonic()
    with pytest.raises(PlatformError, match="podman ps took longer than"):
        scripted("exec sleep 60").ask(["ps"], 0.2)
    assert time.monotonic() - began < 10


def test_output_without_end_takes_no_memory(scripted: Script) -> None:
    assert len(scripted("head -c 20000000 /dev/zero").ask(["logs"], 20.0)) <= 8 << 20


def test_standard_input_is_passed(scripted: Script) -> None:
    assert scripted("cat").ask(["run"], 20.0, b"a-secret") == "a-secret"


def test_an_engine_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--engine /nowhere/podman: there is no such program"):
        Commands("/nowhere/podman")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="install podman or docker"):
        Commands(None)


SPEC = ContainerSpec("x", "image", {FUNCTION: "f1"}, memory_mib=33)


def ended(status: int, *, oom_killed: bool = False) -> Container:
    return Container("x", {}, "image", "exited", status, oom_killed, 0, 0, "")


@pytest.mark.parametrize(
    ("container", "said", "message"),
    [
        (ended(1), ("failed: f1.onnx: no such file",), "function f1: f1.onnx: no such file"),
        (ended(137), ("ready",), "function f1 ran out of memory at its limit of 33 MiB"),
        (ended(0, oom_killed=True), (), "function f1 ran out of memory at its limit of 33 MiB"),
        (ended(139), ("Segmentation fault",), "function f1 exited with status 139: Segmentation fault"),
    ],
)
def test_why_a_function_ended_is_told(container: Container, said: tuple[str, ...], message: str) -> None:
    assert str(why_it_ended(SPEC, container, said)).startswith(message)


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo 'container init was OOM-killed (memory limit too low?)' >&2; exit 126", "f1 ran out of memory at its"),
        ('case "$*" in *"--memory 128m"*) exit 0;; esac; echo "runc start failed" >&2; exit 1', "f1 ran out of memory"),
        ("echo 'no such image' >&2; exit 125", "f1 cannot be started: podman run: no such image"),
    ],
    ids=["told as such", "starts with more", "does not start with more"],
)
def test_a_limit_in_which_nothing_can_start_is_named(scripted: Script, script: str, message: str) -> None:
    release = Release(Engine(scripted(script)), ReleasePlan({}, [SPEC], SPEC, "http://127.0.0.1:9", 1.0))
    with pytest.raises(PlatformError, match=message):
        release.start_functions(lambda _: None)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"transport": "smoke"}, "--transport smoke: choose from socket, http"),
        ({"network": "mesh"}, "--network mesh: choose from bridge, host"),
        ({"base_image": "--privileged"}, "--base-image '--privileged'"),
    ],
)
def test_an_option_with_a_wrong_value_is_named(wrong: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ContainerOptions(**wrong).checked()  # type: ignore[arg-type]
