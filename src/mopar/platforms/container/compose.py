"""A compose file that builds and starts all images of a package, for docker compose and podman-compose."""

import json
from collections.abc import Mapping, Sequence

from mopar.bundle import Bundle
from mopar.platforms.container.building import image_name
from mopar.platforms.container.images.image import Image
from mopar.platforms.container.images.images import containerfile_name
from mopar.platforms.container.images.paths import PORT
from mopar.platforms.container.images.python import PYTHON
from mopar.platforms.container.labels import FUNCTION
from mopar.platforms.container.release import ReleasePlan
from mopar.platforms.container.specs import ContainerSpec, Mount

_HEALTH = (
    "import socket; s = socket.create_connection(('127.0.0.1', {port}), 5); "
    "s.sendall(b'GET /v2/health/ready HTTP/1.0\\r\\n\\r\\n'); raise SystemExit(b' 200 ' not in s.recv(100))"
)


def compose_file(bundle: Bundle, deployment: str, images: Sequence[Image], release: ReleasePlan) -> str:
    """The compose file of a package.

    Args:
        bundle: what is packaged.
        deployment: its name.
        images: of functions and gateway.
        release: the containers that deploying would start.
    """
    by_name = {image.name: image for image in images}
    services: dict[str, object] = {}
    for spec in release.functions:
        service = _service(spec, deployment, by_name[spec.labels[FUNCTION]])
        services[spec.alias or spec.labels[FUNCTION].lower()] = service
    gateway = _service(release.gateway, deployment, by_name["gateway"])
    health = [PYTHON, "-I", "-S", "-c", _HEALTH.format(port=PORT)]
    gateway |= {
        "ports": [release.gateway.publish],
        "depends_on": list(services),
        "healthcheck": {"test": ["CMD", *health], "interval": "5s", "timeout": "6s", "start_period": "30s"},
    }
    services["gateway"] = gateway
    volumes: dict[str, object] = {_key(volume): {} for volume in release.volumes}
    document = {"name": deployment, "services": services, **({"volumes": volumes} if volumes else {})}
    first = f"# {' '.join(bundle.manifest.name.split())}: `docker compose up --build`, or podman-compose.\n"
    return first + "\n".join(_lines(document, 0)) + "\n"


def _service(spec: ContainerSpec, deployment: str, image: Image) -> dict[str, object]:
    service: dict[str, object] = {
        "image": image_name(deployment, image),
        "build": {"context": ".", "dockerfile": containerfile_name(image)},
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "restart": "unless-stopped",
    }
    if spec.command:
        service["command"] = list(spec.command)
    if spec.network == "none":
        service["network_mode"] = "none"
    if spec.mounts:
        service["volumes"] = [_mount(mount) for mount in spec.mounts]
    if spec.memory_mib is not None:
        service |= {"mem_limit": f"{spec.memory_mib}m", "memswap_limit": f"{spec.memory_mib}m"}
    if spec.cpu is not None:
        service |= {"cpu_period": spec.period_us, "cpu_quota": round(spec.cpu * spec.period_us)}
    return service


def _mount(mount: Mount) -> str:
    return f"{_key(mount.volume)}:{mount.path}{':ro' if mount.read_only else ''}"


def _key(volume: str) -> str:
    """A volume's name in the file; compose puts the project's before it."""
    return volume.rpartition("-")[2]


def _lines(document: Mapping[str, object], depth: int) -> list[str]:
    """YAML: folders as blocks, everything else as JSON, which YAML contains. Compose reads ``$$`` as ``$``."""
    lines = []
    for key, value in document.items():
        if isinstance(value, Mapping) and value:
            lines += [f"{'  ' * depth}{key}:", *_lines(value, depth + 1)]
        else:
            lines.append(f"{'  ' * depth}{key}: {json.dumps(value).replace('$', '$$')}")
    return lines
