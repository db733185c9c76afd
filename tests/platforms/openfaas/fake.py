"""An OpenFaaS gateway that does what the real one was seen to do, around real processes.

Deploying answers before the function listens; what it does not understand of a limit is no limit; a refused function is
left in the list, dead; listing needs a Prometheus; whatever cannot be reached is 500.
"""

import base64
import contextlib
import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from mopar.limits import Cgroups
from mopar.platforms.health import answers
from tests.platforms.openfaas.function import FakeFunction, Reply
from tests.platforms.openfaas.images import read_image

USERNAME, PASSWORD = "admin", "to be kept secret"
_MOST_REPLICAS = 5
_UNTOLD_ALONE = frozenset({"limits", "requests", "envVars"})


class FakeOpenFaas:
    """The platform's state.

    Args:
        registry: folder with the images.
        work: folder for functions' files.
        groups: to limit functions with; None for no limits.

    Attributes:
        url: of the gateway.
        functions: those that are listed.
        specs: what each was made from.
        prometheus: whether functions can be listed.
        patience_s: how long a function may take to end; 30 s on the real platform.
        rolling: whether an updated function answers as it was until it has started anew, as on Kubernetes.
        requests: methods and paths below ``/system``.
    """

    def __init__(self, registry: Path, work: Path, groups: Cgroups | None) -> None:
        self.registry = registry
        self.work = work
        self.groups = groups
        self.url = ""
        self.functions: dict[str, FakeFunction] = {}
        self.specs: dict[str, dict[str, Any]] = {}
        self.replicas: dict[str, int] = {}
        self.prometheus = True
        self.patience_s = 0.5
        self.rolling = False
        self._outgoing: dict[str, FakeFunction] = {}
        self.requests: list[str] = []
        self._changing = threading.Lock()

    def system(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        """The answer to a request below ``/system``: a status, and a document or nothing."""
        self.requests.append(f"{method} {path}")
        with self._changing:
            match method, path.split("/")[2:]:
                case "GET", ["functions"]:
                    return 200, [self._told(name) for name in self.specs]
                case "GET", ["function", name]:
                    self._known(name)
                    return 200, {key: value for key, value in self._told(name).items() if key not in _UNTOLD_ALONE}
                case "POST", ["functions"]:
                    return self._create(json.loads(body))
                case "PUT", ["functions"]:
                    return self._update(json.loads(body))
                case "DELETE", ["functions"]:
                    return self._delete(json.loads(body)["functionName"])
                case "POST", ["scale-function", name]:
                    self._known(name)
                    self.replicas[name] = max(1, min(int(json.loads(body)["replicas"]), _MOST_REPLICAS))
                    return 202, None
        raise Reply(404, "404 page not found")

    def serving(self, name: str) -> FakeFunction | None:
        """The function that calls go to; None where there is none of that name."""
        with self._changing:
            function, before = self.functions.get(name), self._outgoing.get(name)
            if before is None or function is None or not answers(function.url):
                return before or function
            self._outgoing.pop(name).stop(self.patience_s)
            return function

    def close(self) -> None:
        """End all functions."""
        for function in (*self.functions.values(), *self._outgoing.values()):
            function.stop(0.2)

    def _known(self, name: str) -> None:
        if name not in self.specs:
            raise Reply(404, f"function {name} not found")

    def _told(self, name: str) -> dict[str, Any]:
        spec = self.specs[name]
        up = self.functions[name].alive()
        told = {key: value for key, value in spec.items() if key not in {"service", "secrets"}}
        return {
            **told,
            "name": name,
            "replicas": self.replicas[name],
            "availableReplicas": int(up),
            "invocationCount": 0,
        }

    def _create(self, spec: dict[str, Any]) -> tuple[int, None]:
        name = spec["service"]
        if name in self.specs:
            raise Reply(400, f'unable to create Deployment: deployments.apps "{name}" already exists')
        self._start(spec)
        if not self._has_image(spec):
            raise Reply(400, f"unable to pull image {spec['image']}")
        return 202, None

    def _update(self, spec: dict[str, Any]) -> tuple[int, None]:
        name = spec["service"]
        self._known(name)
        if self.rolling:
            self._retire(name)
            self._outgoing[name] = self.functions[name]
        elif not self.functions[name].stop(self.patience_s):
            raise Reply(500, f"unable to stop {name}: context deadline exceeded")
        self._start(spec)
        if not self._has_image(spec):
            raise Reply(400, f"unable to pull image {spec['image']}")
        return 202, None

    def _delete(self, name: str) -> tuple[int, None]:
        self._known(name)
        if not self.functions[name].stop(self.patience_s):
            raise Reply(500, f"unable to stop {name}: context deadline exceeded")
        self._retire(name)
        del self.specs[name], self.functions[name], self.replicas[name]
        return 202, None

    def _retire(self, name: str) -> None:
        if name in self._outgoing:
            self._outgoing.pop(name).stop(self.patience_s)

    def _start(self, spec: dict[str, Any]) -> None:
        name = spec["service"]
        image = read_image(self.registry, spec["image"])
        memory = spec.get("limits", {}).get("memory", "")
        self.specs[name], self.replicas[name] = spec, 1
        self.functions[name] = FakeFunction(name, image, spec.get("envVars", {}), memory, self.groups, self.work)

    def _has_image(self, spec: dict[str, Any]) -> bool:
        return read_image(self.registry, spec["image"]) is not None


class _Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: "_Server"

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        path = self.path.partition("?")[0]
        try:
            if path.startswith("/function/"):
                self._proxied(path, body)
            elif path == "/healthz":
                self._send(200 if self.command == "GET" else 405, [], b"OK")
            elif not self._is_admitted():
                self._send(401, [], b"invalid credentials")
            elif (self.command, path) == ("GET", "/system/functions") and not self.server.fake.prometheus:
                self.close_connection = True
            else:
                status, document = self.server.fake.system(self.command, path, body)
                self._send(status, [], b"" if document is None else json.dumps(document).encode())
        except Reply as reply:
            self._send(reply.status, [("Content-Type", "text/plain; charset=utf-8")], str(reply).encode())

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _answer  # noqa: N815 - as http.server wants them

    def _proxied(self, path: str, body: bytes) -> None:
        name, _, rest = path.removeprefix("/function/").partition("/")
        function = self.server.fake.serving(name.partition(".")[0])
        if function is None:
            raise Reply(404, f"error finding function {name}: server returned non-200 status code (404)")
        self._send(*function.call(self.command, f"/{rest}", body, dict(self.headers.items())))

    def _is_admitted(self) -> bool:
        pair = base64.b64encode(f"{USERNAME}:{PASSWORD}".encode()).decode()
        return self.headers.get("Authorization") == f"Basic {pair}"

    def _send(self, status: int, headers: list[tuple[str, str]], data: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, fake: FakeOpenFaas) -> None:
        self.fake = fake
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, *_: object) -> None:
        """A client that left is no error."""


@contextlib.contextmanager
def openfaas(folder: Path, groups: Cgroups | None = None) -> Iterator[FakeOpenFaas]:
    """A platform with files below a folder; none of its functions outlives the block."""
    registry, work = folder / "registry", folder / "functions"
    for made in (registry, work):
        made.mkdir(parents=True)
    fake = FakeOpenFaas(registry, work, groups)
    server = _Server(fake)
    fake.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        fake.close()
        shutil.rmtree(work)
