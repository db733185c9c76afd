"""Whatever the platform answers, the client's error is one line that says what would do, and holds no password."""

import base64
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mopar.platforms.openfaas.client import OpenFaasClient
from mopar.platforms.openfaas.credentials import Credentials, credentials_for
from mopar.platforms.openfaas.wire import FunctionSpec, Resources
from mopar.types import MoparError, PlatformError, UsageError
from tests.platforms.openfaas.fake import PASSWORD, USERNAME, FakeOpenFaas, openfaas
from tests.platforms.openfaas.function import limit_bytes

LIMITS = Resources("64Mi", "1")
SPEC = FunctionSpec("f", "nowhere/f:1", LIMITS, LIMITS)


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeOpenFaas]:
    with openfaas(tmp_path) as made:
        yield made


def client_of(fake: FakeOpenFaas, password: str = PASSWORD) -> OpenFaasClient:
    return OpenFaasClient(fake.url, USERNAME, password)


@contextlib.contextmanager
def saying(*pieces: bytes, pause_s: float = 0.0) -> Iterator[str]:
    """A server that answers every request with these pieces, and closes the connection."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, contextlib.suppress(OSError):
                    connection.recv(1 << 16)
                    for piece in pieces:
                        connection.sendall(piece)
                        time.sleep(pause_s)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def test_a_refused_function_is_there_until_it_is_deleted(fake: FakeOpenFaas) -> None:
    client = client_of(fake)
    with pytest.raises(
        PlatformError, match="function f cannot be created: status 400: unable to pull image nowhere/f:1"
    ):
        client.create(SPEC)
    assert [status.name for status in client.functions()] == ["f"]
    with pytest.raises(PlatformError, match=r"status 400: .*already exists"):
        client.create(SPEC)
    client.scale("f", 9)
    found = client.function("f")
    assert found is not None
    assert (found.replicas, found.available_replicas) == (5, 0)
    assert client.delete("f")
    assert client.functions() == ()


def test_what_is_not_there_is_no_failure_of_the_platform(fake: FakeOpenFaas) -> None:
    client = client_of(fake)
    assert client.function("nobody") is None
    assert not client.delete("nobody")
    with pytest.raises(PlatformError, match=r"function f cannot be updated: status 404: function f not found"):
        client.update(SPEC)
    with pytest.raises(PlatformError, match=r"function f cannot be scaled: status 404: function f not found"):
        client.scale("f", 2)


@pytest.mark.parametrize("password", ["", "guessed"])
def test_a_wrong_password_is_the_users_mistake(fake: FakeOpenFaas, password: str) -> None:
    client = client_of(fake, password)
    client.check_health()
    with pytest.raises(UsageError, match=r"refuses the user name or password \(401\): see --username") as caught:
        client.functions()
    assert "guessed" not in str(caught.value)
    assert "guessed" not in repr(client._rest)


def test_a_list_without_its_prometheus_is_asked_for_again_and_explained(fake: FakeOpenFaas) -> None:
    fake.prometheus = False
    with pytest.raises(PlatformError, match="closed without an answer: its list of functions needs its Prometheus"):
        client_of(fake).functions()
    fake.prometheus = True
    assert client_of(fake).functions() == ()


def test_nobody_is_there() -> None:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(PlatformError, match=rf"{url}: GET /healthz: it cannot be reached: .*: see whether it runs"):
        OpenFaasClient(url, USERNAME, PASSWORD).check_health()


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
WRONG = {
    "an empty body": (HEAD + b"Content-Length: 0\r\n\r\n", "its body is empty"),
    "no JSON": (HEAD + b"Content-Length: 2\r\n\r\n<>", "an answer that cannot be read"),
    "another form": (HEAD + b'Content-Length: 12\r\n\r\n[{"name": 1}]'[:12], "an answer that cannot be read"),
    "half a body": (HEAD + b"Content-Length: 100\r\n\r\n[", "closed without an answer"),
    "no HTTP": (b"SSH-2.0-OpenSSH\r\n", "it does not speak HTTP"),
    "an error of many lines": (b"HTTP/1.1 500 No\r\nContent-Length: 9\r\n\r\nno\n\n\tway!", "status 500: no way!"),
    "a body without end": (HEAD + b"\r\n" + b"[" * (17 << 20), "an answer over 16 MiB"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_an_answer_of_another_form_is_explained(case: str) -> None:
    data, says = WRONG[case]
    with saying(data) as url, pytest.raises(MoparError, match=says) as caught:
        OpenFaasClient(url, USERNAME, PASSWORD).functions()
    text = str(caught.value)
    assert "\n" not in text
    assert PASSWORD not in text
    assert len(text) < 500


@pytest.mark.parametrize("pause_s", [0.05, 5.0])
def test_an_answer_that_comes_too_slowly_ends_at_the_deadline(pause_s: float) -> None:
    """A byte now and then keeps each wait short, but not the request."""
    with saying(*[b"H"] * 100, pause_s=pause_s) as url:
        began = time.monotonic()
        with pytest.raises(PlatformError, match=r"no answer within 0\.3 s"):
            OpenFaasClient(url, USERNAME, PASSWORD, timeout_s=0.3).create(SPEC)
        assert time.monotonic() - began < 3


def test_null_is_an_empty_list() -> None:
    with saying(HEAD + b"Content-Length: 4\r\n\r\nnull") as url:
        assert OpenFaasClient(url, USERNAME, PASSWORD).functions() == ()


def test_the_platform_misunderstands_what_our_parser_refuses() -> None:
    """The reason for the parser; ``tests/platforms/test_quantities.py`` has what it takes."""
    assert [limit_bytes(text) for text in ("128MB", "64m", "128Mi")] == [None, 1, 128 << 20]


def login(path: Path, text: str) -> Callable[[pytest.MonkeyPatch], None]:
    path.mkdir()
    (path / "config.yml").write_text(text)
    return lambda patch: patch.setenv("OPENFAAS_CONFIG", str(path))


def test_a_password_comes_from_a_file_the_environment_or_faas_cli(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "http://127.0.0.1:8080"
    token = base64.b64encode(b"somebody:from faas-cli").decode()
    login(tmp_path / "cli", f"auths:\n- gateway: {url}\n  auth: basic\n  token: {token}\n  options: []\n")(monkeypatch)
    monkeypatch.delenv("OPENFAAS_PASSWORD", raising=False)
    assert credentials_for(url, "admin", None) == Credentials("somebody", "from faas-cli")
    assert credentials_for("http://elsewhere:8080", "admin", None) == Credentials("admin", "")
    monkeypatch.setenv("OPENFAAS_PASSWORD", "from the environment")
    assert credentials_for(url, "admin", None) == Credentials("admin", "from the environment")
    (tmp_path / "file").write_text("from a file\n")
    assert credentials_for(url, "admin", tmp_path / "file") == Credentials("admin", "from a file")
    assert "from a file" not in repr(credentials_for(url, "admin", tmp_path / "file"))


@pytest.mark.parametrize(
    "token", ["not base64!", base64.b64encode(b"no colon").decode(), base64.b64encode(b"\xff:").decode()]
)
def test_a_login_that_is_none_is_named_but_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    login(tmp_path / "cli", f"auths:\n- gateway: http://g\n  auth: basic\n  token: {token}\n")(monkeypatch)
    with pytest.raises(UsageError, match=r"config\.yml: .*log in again with faas-cli login") as caught:
        credentials_for("http://g", "admin", None)
    assert token not in str(caught.value)


@pytest.mark.parametrize(
    ("contents", "says"), [("", "write the password"), ("a\nb\n", "in one line"), (None, "No such")]
)
def test_a_password_file_without_one_is_named(tmp_path: Path, contents: str | None, says: str) -> None:
    if contents is not None:
        (tmp_path / "file").write_text(contents)
    with pytest.raises(UsageError, match=f"--password-file .*file: .*{says}"):
        credentials_for("http://g", "admin", tmp_path / "file")
