"""Lambda's API by protocol: invocations of functions that run what packages hold, in this process."""

import contextlib
import datetime as dt
import http.server
import ipaddress
import json
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from mopar.bundle import Bundle
from mopar.bundle.sent_codecs import functions_that_encode
from mopar.platforms.aws_lambda.function_files import function_files
from mopar.platforms.aws_lambda.runtime_files import CONFIG
from mopar.platforms.codes import codec_library
from mopar.platforms.local.library import engine_library
from mopar.runtime.aws_lambda.api import Invocation, RuntimeApi
from mopar.runtime.aws_lambda.invoked import Invocations
from mopar.runtime.config import read_config
from mopar.runtime.function import Function
from tests.runtime.aws_lambda.handled import make_engine

SECRET = "the-secret"  # noqa: S105 - of nobody
Reply = tuple[int, dict[str, str], bytes]
Answers = Callable[[str, str, bytes], Reply]
"""From a function's name, a qualifier and a message to status, headers and body."""


class _Sent(RuntimeApi):
    """Takes a handler's answers."""

    def __init__(self) -> None:
        super().__init__("127.0.0.1:1")
        self.bodies: list[bytes] = []

    def respond(self, name: str, length: int, parts: Iterable[bytes]) -> None:  # noqa: ARG002 - of the API
        self.bodies.append(b"".join(parts))


class Handlers:
    """The handlers of a bundle's functions, by the plan's names."""

    def __init__(self, bundle: Bundle, folder: Path) -> None:
        self._apis: dict[str, _Sent] = {}
        self._handlers: dict[str, Invocations] = {}
        self.messages: list[tuple[str, Any]] = []
        self._lock = threading.Lock()
        library = engine_library()
        for function in bundle.manifest.plan.functions:
            home = folder / function.name
            codecs = codec_library() if function.name in functions_that_encode(bundle.manifest) else None
            files = function_files(bundle, function, library.name, None, None, codecs).files
            home.mkdir(parents=True)
            (home / library.name).symlink_to(library)
            for name, source in files.items():
                path = home / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(source.read_bytes() if isinstance(source, Path) else source)
            loaded = Function(read_config(str(home / CONFIG)), make_engine)
            loaded.load()
            self._apis[function.name] = _Sent()
            self._handlers[function.name] = Invocations(self._apis[function.name], loaded)

    def __call__(self, name: str, _qualifier: str, body: bytes) -> Reply:
        function = name.rpartition("-")[2]
        with self._lock:
            self.messages.append((function, json.loads(body)))
            self._handlers[function].serve(Invocation(str(len(self.messages)), bytearray(body), 0))
            return 200, {}, self._apis[function].bodies.pop()


def fault(kind: str, text: str) -> Reply:
    """What Lambda answers where a function fails."""
    body = json.dumps({"errorType": kind, "errorMessage": text}).encode()
    return 200, {"X-Amz-Function-Error": "Unhandled"}, body


def refusal(status: int, code: str, text: str = "so it is") -> Reply:
    """What Lambda answers where it refuses a request."""
    return status, {"x-amzn-ErrorType": f"{code}:http://internal"}, json.dumps({"Message": text}).encode()


def own_certificate(folder: Path) -> Path:
    """A certificate for loopback that nobody has signed, with its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "loopback")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / "certificate.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + secret)
    return path


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 64


@contextlib.contextmanager
def lambda_service(answers: Answers, region: str = "eu-central-1", certificate: Path | None = None) -> Iterator[str]:
    """The URL of a service that answers what is signed with ``SECRET`` alone; with a ``certificate``, over TLS."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            parts = urlsplit(self.path)
            if not _signed(self.path, dict(self.headers), body, region):
                reply = refusal(403, "InvalidSignatureException")
            else:
                name = unquote(parts.path.split("/")[3])
                reply = answers(name, parts.query.removeprefix("Qualifier="), body)
            status, headers, data = reply
            self.send_response(status)
            for key, value in {**headers, "Content-Length": str(len(data))}.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None: ...

    server = _Server(("127.0.0.1", 0), Handler)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http{'s' if certificate is not None else ''}://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _signed(path: str, headers: Mapping[str, str], body: bytes, region: str) -> bool:
    """Whether Amazon's own signer makes the same signature."""
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    key = headers["authorization"].partition("Credential=")[2].partition("/")[0]
    theirs = AWSRequest("POST", f"https://{headers['host']}{path}", data=body)
    theirs.headers["X-Amz-Content-SHA256"] = headers["x-amz-content-sha256"]
    theirs.context["timestamp"] = headers["x-amz-date"]
    signer = SigV4Auth(Credentials(key, SECRET, headers.get("x-amz-security-token")), "lambda", region)
    signer._modify_request_before_signing(theirs)
    signature = signer.signature(signer.string_to_sign(theirs, signer.canonical_request(theirs)), theirs)
    return headers["authorization"].endswith(f"Signature={signature}")
