"""S3 in a process of its own: moto's server."""

import contextlib
import http.client
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

PATIENCE_S = 30.0
BUCKET = "tensors"
_AUTHORIZATION = "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=00"


@dataclass(frozen=True)
class S3:
    """A running server with one bucket, and the environment by which clients find it."""

    host: str
    environment: Mapping[str, str]

    def request(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        """A request without a signature, which moto does not check."""
        connection = http.client.HTTPConnection(self.host, timeout=PATIENCE_S)
        try:
            connection.request(method, path, body, {"Authorization": _AUTHORIZATION})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def put(self, key: str, data: bytes) -> None:
        assert self.request("PUT", f"/{BUCKET}/{key}", data)[0] == 200

    def get(self, key: str) -> bytes:
        status, data = self.request("GET", f"/{BUCKET}/{key}")
        assert status == 200, data
        return data

    def keys(self) -> set[str]:
        """Of all objects."""
        status, data = self.request("GET", f"/{BUCKET}?list-type=2")
        assert status == 200, data
        return set(re.findall("<Key>(.*?)</Key>", data.decode()))


@contextlib.contextmanager
def serving() -> Iterator[S3]:
    """A server that ends with the block."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    server = S3(
        f"127.0.0.1:{port}",
        {
            "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_SESSION_TOKEN": "token",
            "AWS_REGION": "us-east-1",
        },
    )
    try:
        until = time.monotonic() + PATIENCE_S
        while True:
            with contextlib.suppress(OSError):
                assert server.request("PUT", f"/{BUCKET}")[0] == 200
                break
            assert process.poll() is None, "moto's server has ended"
            assert time.monotonic() < until, "moto's server does not listen"
            time.sleep(0.02)
        yield server
    finally:
        process.kill()
        process.wait(PATIENCE_S)
