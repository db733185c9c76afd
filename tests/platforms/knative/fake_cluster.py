"""An API server that speaks Kubernetes' protocol for the objects of a deployment; its controllers are one method."""

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

TOKEN = "to be kept secret"  # noqa: S105 - of a fake
Key = tuple[str, str]
"""Path of a kind's objects in a namespace, and name."""


class FakeCluster:
    """Objects, and what their controllers make of them.

    Attributes:
        objects: by path and name.
        broken: images, such as ``skip-f1:2``, that never become ready.
        knows_knative: whether Knative is installed.
        log: what was applied and deleted, in order.
        asked_before_ready: how often an object is asked for until it is ready.
    """

    def __init__(self) -> None:
        self.url = ""
        self.objects: dict[Key, dict[str, Any]] = {}
        self.broken: set[str] = set()
        self.knows_knative = True
        self.asked_before_ready = 1
        self.log: list[str] = []
        self._asked: dict[Key, int] = {}

    def names(self, kind: str) -> set[str]:
        return {name for (_, name), found in self.objects.items() if found["kind"] == kind}

    def apply(self, key: Key, document: dict[str, Any]) -> dict[str, Any]:
        """Server-side apply by the only manager that there is."""
        before = self.objects.get(key)
        document["metadata"]["generation"] = 1 if before is None else before["metadata"]["generation"] + 1
        document["status"] = {} if before is None else before.get("status", {})  # until the controllers have seen it
        self.log.append(f"apply {key[1]}")
        self.objects[key] = document
        self._asked[key] = 0
        return document

    def get(self, key: Key) -> dict[str, Any]:
        """An object, whose controllers come nearer to their end each time."""
        found = self.objects[key]
        self._asked[key] += 1
        if self._asked[key] > self.asked_before_ready:
            ready = not self.broken & _images(found)
            status: dict[str, Any] = {"observedGeneration": found["metadata"]["generation"]}
            if found["kind"] == "Deployment":
                wanted = found["spec"]["replicas"]
                status |= {"replicas": wanted, "updatedReplicas": wanted, "availableReplicas": wanted if ready else 0}
            elif "knative" in found["apiVersion"]:
                message = "" if ready else 'Revision "x-00001" failed: the image cannot be pulled'
                status["conditions"] = [{"type": "Ready", "status": str(ready), "message": message}]
            found["status"] = status
        return found


def _images(document: dict[str, Any]) -> set[str]:
    containers = document["spec"].get("template", {"spec": {"containers": []}})["spec"]["containers"]
    return {container["image"].rpartition("/")[2] for container in containers}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: "_Server"

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        parts = urlsplit(self.path)
        cluster, query = self.server.cluster, parse_qs(parts.query)
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._send(401, _status("Unauthorized"))
        path, _, name = parts.path.rpartition("/")
        if "knative" in path and not cluster.knows_knative:
            return self._send(404, b"404 page not found\n")
        if self.command == "GET" and name in {"services", "deployments"}:
            return self._send(200, {"items": self._labelled(parts.path, query["labelSelector"][0])})
        key = (path, name)
        if self.command == "PATCH":
            if self.headers.get("Content-Type") != "application/apply-patch+yaml" or query.get("fieldManager") != [
                "mopar"
            ]:
                return self._send(415, _status("server-side apply wants its content type and a field manager"))
            return self._send(200, cluster.apply(key, yaml.safe_load(body)))
        if key not in cluster.objects:
            return self._send(404, _status(f'services "{name}" not found'))
        if self.command == "DELETE":
            cluster.log.append(f"delete {name}")
            return self._send(200, cluster.objects.pop(key))
        return self._send(200, cluster.get(key))

    do_GET = do_PATCH = do_DELETE = _answer  # noqa: N815 - as http.server wants them

    def _labelled(self, path: str, selector: str) -> list[dict[str, Any]]:
        label, _, value = selector.partition("=")
        cluster = self.server.cluster
        keys = [
            key
            for key, found in cluster.objects.items()
            if key[0] == path and found["metadata"]["labels"].get(label) == value
        ]
        return [cluster.get(key) for key in keys]

    def _send(self, status: int, document: dict[str, Any] | bytes) -> None:
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.send_response_only(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""


def _status(message: str) -> dict[str, Any]:
    return {"kind": "Status", "status": "Failure", "message": message}


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, cluster: FakeCluster) -> None:
        self.cluster = cluster
        super().__init__(("127.0.0.1", 0), _Handler)


@contextlib.contextmanager
def cluster_at(kubeconfig: Path, token: str = TOKEN) -> Iterator[FakeCluster]:
    """A cluster, and a kubeconfig that leads to it."""
    cluster = FakeCluster()
    server = _Server(cluster)
    cluster.url = f"http://127.0.0.1:{server.server_address[1]}"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "fake",
        "clusters": [{"name": "fake", "cluster": {"server": cluster.url}}],
        "users": [{"name": "somebody", "user": {"token": token}}],
        "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "somebody"}}],
    }
    kubeconfig.write_text(yaml.safe_dump(config))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield cluster
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
