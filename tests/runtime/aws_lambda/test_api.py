"""The runtime API's client, whatever form of HTTP/1.1 the server chooses."""

import contextlib
import itertools
import socket
import threading
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mopar.runtime.aws_lambda.api import ApiError, RuntimeApi

HEAD = b"HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: r1\r\n"


class Server:
    """Answers one request with these pieces of bytes, and then closes."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.received = b""
        self._thread = threading.Thread(target=self._serve, args=(pieces,))
        self._thread.start()

    def _serve(self, pieces: Sequence[bytes]) -> None:
        accepted, _ = self._listener.accept()
        with accepted, self._listener:
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while not _is_whole(self.received):
                self.received += accepted.recv(65536)
            for piece in pieces:
                accepted.sendall(piece)

    def join(self) -> None:
        self._thread.join(10)


def _is_whole(request: bytes) -> bool:
    head, end, body = request.partition(b"\r\n\r\n")
    return bool(end) and len(body) == int(head.partition(b"Content-Length: ")[2].split(b"\r\n")[0])


@given(body=st.binary(max_size=60), chunks=st.lists(st.integers(1, 30), max_size=6), cuts=st.sets(st.integers(1, 160)))
def test_a_body_arrives_whole_however_it_is_sent(body: bytes, chunks: list[int], cuts: set[int]) -> None:
    if chunks:
        parts, at = [], 0
        for size in [*chunks, len(body)]:
            if piece := body[at : at + size]:
                parts.append(b"%x\r\n%s\r\n" % (len(piece), piece))
            at += size
        text = HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(parts) + b"0\r\n\r\n"
    else:
        text = HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body
    edges = [0, *sorted(cut for cut in cuts if cut < len(text)), len(text)]
    server = Server([text[start:end] for start, end in itertools.pairwise(edges)])
    with contextlib.closing(RuntimeApi(server.address)) as api:
        invocation = api.next()
        assert (invocation.id, bytes(invocation.body)) == ("r1", body)
        with pytest.raises(ApiError):  # and nothing of it is left over
            api.next()
    server.join()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n",
        b"nonsense\r\n\r\n",
        HEAD + b"Content-Length: 5\r\n\r\nab",
        HEAD + b"Content-Length: x\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"a" * 70_000,
    ],
)
def test_an_answer_that_is_none_ends_the_process(answer: bytes) -> None:
    server = Server([answer])
    with contextlib.closing(RuntimeApi(server.address)) as api, pytest.raises(ApiError):
        api.next()
    server.join()


def test_an_error_has_the_form_that_lambda_takes() -> None:
    server = Server([b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"])
    with contextlib.closing(RuntimeApi(server.address)) as api:
        api.fail_init("OrtError", 'a "bad" graph')
    server.join()
    head, _, body = server.received.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /2018-06-01/runtime/init/error HTTP/1.1\r\n")
    assert b"Lambda-Runtime-Function-Error-Type: OrtError" in head
    assert body == b'{"errorMessage":"a \\"bad\\" graph","errorType":"OrtError","stackTrace":[]}'
