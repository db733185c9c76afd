"""Tensors and weights through S3: signatures as Amazon's own library makes them, objects as moto's server has them."""

import contextlib
import hashlib
import http.server
import io
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from mopar.platforms.aws_lambda.messages import StoredValue, StorePlace
from mopar.runtime.aws_lambda.objects import ObjectStore, StoreError
from mopar.runtime.aws_lambda.signing import Credentials, own_credentials, quoted_path, signed_headers
from mopar.runtime.aws_lambda.weights import fetch_weights
from mopar.runtime.config import ConfigError, read_config
from mopar.runtime.request import RefusedError
from mopar.runtime.strings import pack_strings
from mopar.types import DeploymentError, RequestError, TensorValue
from tests.platforms.aws_lambda.s3 import BUCKET, S3, serving
from tests.runtime.aws_lambda.handled import REQUEST_ID, Handled
from tests.runtime.http.doors import config
from tests.runtime.running import save

pytestmark = pytest.mark.skipif(find_spec("moto") is None, reason="needs moto: pip install 'moto[server]'")

COPY = helper.make_node("Identity", ["x"], ["y"])


@pytest.fixture(scope="module")
def server() -> Iterator[S3]:
    with serving() as made:
        yield made


@pytest.fixture
def s3(server: S3, monkeypatch: pytest.MonkeyPatch) -> S3:
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    return server


@pytest.fixture
def store(s3: S3) -> ObjectStore:
    assert s3.environment
    return ObjectStore(BUCKET)


@pytest.fixture(scope="module")
def copying(tmp_path_factory: pytest.TempPathFactory) -> Handled:
    folder = tmp_path_factory.mktemp("copying")
    path = save(folder / "copy.onnx", [COPY], [("x", "uint8", None)], [("y", "uint8", None)])
    return Handled(folder, path, {"x": "uint8"}, {"y": "uint8"})


@given(
    method=st.sampled_from(["GET", "PUT", "DELETE"]),
    key=st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=40),
    token=st.sampled_from(["", "a+token/=="]),
    region=st.sampled_from(["us-east-1", "eu-central-1"]),
    now_s=st.integers(1_600_000_000, 1_900_000_000),
)
def test_signatures_are_those_of_amazons_library(method: str, key: str, token: str, region: str, now_s: int) -> None:
    pytest.importorskip("botocore")
    import datetime as dt
    from unittest import mock

    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials as TheirCredentials

    host, path = f"b.s3.{region}.amazonaws.com", quoted_path(f"/{key}")
    theirs = AWSRequest(method, f"https://{host}{path}", data=b"" if method == "PUT" else None)
    theirs.context.update(client_config=None, payload_signing_enabled=False, has_streaming_input=True)
    now = dt.datetime.fromtimestamp(now_s, dt.UTC).replace(tzinfo=None)
    with mock.patch("botocore.auth.get_current_datetime", return_value=now):
        signer = S3SigV4Auth(TheirCredentials("AK", "SK", token or None), "s3", region)
        signer._should_sha256_sign_payload = lambda _request: False
        signer.add_auth(theirs)
    ours = signed_headers(method, host, path, region, Credentials("AK", "SK", token), now_s)
    assert ours["authorization"] == theirs.headers["Authorization"]
    assert ours["x-amz-date"] == theirs.headers["X-Amz-Date"]


@given(key=st.text(st.characters(codec="utf-8"), max_size=40))
def test_paths_are_quoted_as_amazons_library_quotes_them(key: str) -> None:
    compat = pytest.importorskip("botocore.utils")
    assert quoted_path(key) == compat.percent_encode(key, safe="-._~/")


@pytest.mark.parametrize("key", ["a", "p/r-1/0-y", "ä ö+%/x=y&z?#"])
def test_objects_are_written_read_and_deleted(store: ObjectStore, key: str) -> None:
    data = bytes(range(256)) * 1000
    store.put(key, memoryview(data))
    assert store.get(key, len(data)) == data
    place = bytearray(len(data))
    store.get_into(key, memoryview(place))
    assert place == data
    store.delete(key)
    with pytest.raises(StoreError, match="NoSuchKey: there is none"):
        store.get(key, 1)
    store.delete(key)


def test_an_object_of_another_size_is_refused_and_the_connection_still_good(store: ObjectStore) -> None:
    store.put("k", b"12345678" * 100_000)
    store.put("k2", b"123")
    with pytest.raises(RefusedError, match="object k has 800000 bytes, its shape needs 7"):
        store.get_into("k", memoryview(bytearray(7)))
    with pytest.raises(RefusedError, match="object k has 800000 bytes: the limit is 7"):
        store.get("k", 7)
    assert store.get("k2", 3) == b"123"


def test_downloads_are_held_to_size_and_digest(store: ObjectStore) -> None:
    data = b"weights" * 100_000
    store.put("w", data)
    file = io.BytesIO()
    store.download("w", file, len(data), hashlib.sha256(data).hexdigest())
    assert file.getvalue() == data
    with pytest.raises(StoreError, match="another content"):
        store.download("w", io.BytesIO(), len(data), "0" * 64)
    with pytest.raises(StoreError, match="in place of 5"):
        store.download("w", io.BytesIO(), 5, "0" * 64)


def test_a_bucket_that_is_not_there_is_named(s3: S3) -> None:
    assert s3.environment
    with pytest.raises(StoreError, match="does not PUT object k of bucket nobodys: 404 NoSuchBucket"):
        ObjectStore("nobodys").put("k", b"")


class Keeping(http.server.BaseHTTPRequestHandler):
    """Keeps connections, which moto does not; says nothing of one that it closes, and is busy once."""

    protocol_version = "HTTP/1.1"
    connections: ClassVar[set[int]] = set()
    busy: ClassVar[list[int]] = []

    def do_GET(self) -> None:
        self.connections.add(self.client_address[1])
        data = b"12" if self.path.endswith("small") else bytes(1 << 20)
        if self.busy:
            self.send_error(self.busy.pop())
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        with contextlib.suppress(OSError):  # the client has seen enough
            self.wfile.write(data)
        self.close_connection = self.path.endswith("last/small")

    def log_message(self, *_: object) -> None: ...


class KeepingServer(http.server.ThreadingHTTPServer):
    """Says nothing of clients that have seen enough."""

    def handle_error(self, *_: object) -> None: ...


@pytest.fixture
def keeping(s3: S3, monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    assert s3.environment
    with KeepingServer(("127.0.0.1", 0), Keeping) as made:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{made.server_address[1]}")
        Keeping.connections.clear()
        thread = threading.Thread(target=made.serve_forever, args=(0.01,))
        thread.start()
        store = ObjectStore(BUCKET)
        yield store
        store.close()
        made.shutdown()
        thread.join()


def test_a_connection_is_kept_and_one_that_was_closed_meanwhile_made_again(keeping: ObjectStore) -> None:
    """As after the function was frozen for a while."""
    for key in ("small", "small", "last/small"):
        assert keeping.get(key, 2) == b"12"
    assert len(Keeping.connections) == 1
    assert keeping.get("small", 2) == b"12"
    assert len(Keeping.connections) == 2


def test_what_was_not_read_of_an_object_is_not_taken_for_the_next(keeping: ObjectStore) -> None:
    for refused in (lambda: keeping.get("large", 5), lambda: keeping.get_into("large", memoryview(bytearray(5)))):
        with pytest.raises(RefusedError):
            refused()
        assert keeping.get("small", 2) == b"12"


def test_a_store_that_is_busy_is_tried_again(keeping: ObjectStore) -> None:
    Keeping.busy[:] = [503, 500]
    assert keeping.get("small", 2) == b"12"
    Keeping.busy[:] = [503] * 10
    with pytest.raises(StoreError, match="does not GET object small of bucket tensors: 503"):
        keeping.get("small", 2)
    Keeping.busy.clear()


@pytest.mark.parametrize("url", ["ftp://x", "nonsense", "http://"])
def test_an_address_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
    with pytest.raises(StoreError, match="AWS_ENDPOINT_URL_S3"):
        ObjectStore("b")


def test_amazons_own_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3", raising=False)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    assert (ObjectStore("b")._host, ObjectStore("b")._root) == ("b.s3.eu-central-1.amazonaws.com", "")
    assert (ObjectStore("a.b")._host, ObjectStore("a.b")._root) == ("s3.eu-central-1.amazonaws.com", "/a.b")
    monkeypatch.setenv("AWS_REGION", "cn-north-1")
    assert ObjectStore("b")._host == "b.s3.cn-north-1.amazonaws.com.cn"


def test_a_function_without_a_role_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_CONTAINER_CREDENTIALS_FULL_URI"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(OSError, match="give it a role"):
        own_credentials()


def test_tensors_travel_as_objects(s3: S3, copying: Handled) -> None:
    """In, as an object; out, as one, since it is above the limit; and the next function takes what this one named."""
    data = bytes(range(100))
    s3.put("in/x", data)
    place = StorePlace(BUCKET, "run/", above_bytes=50)
    (output,) = copying.call([StoredValue("x", "uint8", (4, 25), "in/x")], place).outputs
    assert output == StoredValue("y", "uint8", (4, 25), f"run/{REQUEST_ID}/0-y")
    assert s3.get(output.key) == data
    wide = StorePlace(BUCKET, "run/", above_bytes=200)
    (back,) = copying.call([StoredValue("x", "uint8", output.shape, output.key)], wide).outputs
    assert isinstance(back, TensorValue)
    assert back.data == data


def test_an_output_that_fits_into_no_answer_becomes_an_object(s3: S3, copying: Handled) -> None:
    data = bytes(5 << 20)
    s3.put("in/big", data)
    (output,) = copying.call([StoredValue("x", "uint8", (5 << 20,), "in/big")], StorePlace(BUCKET, "")).outputs
    assert isinstance(output, StoredValue)
    assert len(s3.get(output.key)) == len(data)


def test_strings_travel_as_objects(s3: S3, tmp_path: Path) -> None:
    path = save(tmp_path / "copy.onnx", [COPY], [("x", "string", None)], [("y", "string", None)])
    handled = Handled(tmp_path, path, {"x": "string"}, {"y": "string"})
    packed = pack_strings([b"", b"some", "ünï".encode()])
    s3.put("strings", packed)
    (output,) = handled.call([StoredValue("x", "string", (3,), "strings")], StorePlace(BUCKET, "")).outputs
    assert isinstance(output, TensorValue)
    assert output.data == packed


def test_an_object_that_is_missing_or_of_another_size_fails_the_call_alone(s3: S3, copying: Handled) -> None:
    s3.put("short", b"12")
    with pytest.raises(DeploymentError, match=r"function f0: S3 does not GET object none.*404"):
        copying.call([StoredValue("x", "uint8", (3,), "none")], StorePlace(BUCKET, ""))
    with pytest.raises(RequestError, match="object short has 2 bytes, its shape needs 3"):
        copying.call([StoredValue("x", "uint8", (3,), "short")], StorePlace(BUCKET, ""))
    copying.call([StoredValue("x", "uint8", (2,), "short")], StorePlace(BUCKET, ""))


def test_a_range_of_an_object_is_read_alone(s3: S3, copying: Handled) -> None:
    data, place = bytes(range(100)), StorePlace(BUCKET, "")
    s3.put("whole", data)
    for offset, count in ((0, 100), (7, 9), (99, 1), (40, 0)):
        (output,) = copying.call([StoredValue("x", "uint8", (count,), "whole", offset, count)], place).outputs
        assert isinstance(output, TensorValue)
        assert output.data == data[offset : offset + count]
    with pytest.raises(DeploymentError, match=r"does not GET object whole.*416.*it ends before"):
        copying.call([StoredValue("x", "uint8", (3,), "whole", 100, 3)], place)
    with pytest.raises(RequestError, match="object whole has 2 bytes, its shape needs 3"):
        copying.call([StoredValue("x", "uint8", (3,), "whole", 98, 3)], place)
    with pytest.raises(RequestError, match="of as many bytes as its shape has"):
        copying.call([StoredValue("x", "uint8", (3,), "whole", 0, 4)], place)


def weights_of(folder: Path, data: bytes, **changes: object) -> Path:
    entry = {"name": "m.data", "bucket": BUCKET, "key": "m", "bytes": len(data)}
    digest = {"sha256": hashlib.sha256(data).hexdigest()}
    (folder / "m.onnx").write_bytes(b"graph")
    graph = {"id": "g0", "path": "m.onnx", "flags": 3, "inputs": [], "outputs": []}
    return config(folder, folder / "m.onnx", {}, {}, graphs=[{**graph, "weights": [entry | digest | changes]}])


def test_weights_are_fetched_beside_a_copy_of_the_graph(
    s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = b"1234" * 1000
    s3.put("m", data)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    found = read_config(str(weights_of(tmp_path, data)))
    fetch_weights(found)
    path = Path(found.graphs[0].path)
    assert path.is_relative_to(tmp_path / "tmp")
    assert path.read_bytes() == b"graph"
    assert path.with_name("m.data").read_bytes() == data


def test_weights_that_are_not_those_of_the_package_are_not_used(
    s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3.put("m", b"4321")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    with pytest.raises(StoreError, match="another content"):
        fetch_weights(read_config(str(weights_of(tmp_path, b"1234"))))
    assert list((tmp_path / "tmp").rglob("m.data")) == []
    with pytest.raises(ConfigError, match="no name of a file"):
        fetch_weights(read_config(str(weights_of(tmp_path, b"4321", name="../m.data"))))
