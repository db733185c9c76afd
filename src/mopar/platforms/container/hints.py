"""What would do against an engine's errors, by what it says."""

_FULL = "the disk where the engine keeps images is full: make room, or remove images"
_PLAIN = (
    "the registry speaks no https: list it as insecure in /etc/containers/registries.conf.d (podman), "
    "or among insecure-registries in /etc/docker/daemon.json (docker)"
)
_ANY = (
    ("no space left", _FULL),
    ("disk quota exceeded", _FULL),
    ("address already in use", "choose another --port"),
    ("port is already allocated", "choose another --port"),
    ("cgroup", "the engine cannot set limits here: try another --runtime, such as runc, or another engine"),
    ("cannot connect to the docker daemon", "start docker, or use --engine podman"),
    ("permission denied while trying to connect", "join the group docker, or use --engine podman"),
    ("netavark", "the engine's bridges do not work here (they may need nftables): use --network host"),
    ("nft", "the engine's bridges do not work here (they may need nftables): use --network host"),
    ("unable to find user", "the base image must be for Linux"),
    ("server gave http response to https client", _PLAIN),
    ("pull access denied", "the base image is not there: look at --base-image"),
    ("manifest unknown", "the base image is not there: look at --base-image"),
)

_BOTH_FULL = "the disk of this machine or of the registry is full: make room there, or choose another --registry"
_TOO_LARGE = (
    "the registry takes nothing that large: plan more, smaller functions, raise its limit, or choose another --registry"
)
_QUOTA = "the registry has no room for it: remove images there, plan smaller functions, or choose another --registry"
_LOGIN = "log in to the registry with podman login, or docker login"
_OF_PUSH = (
    ("no space left", _BOTH_FULL),
    ("disk quota exceeded", _BOTH_FULL),
    ("statuscode: 413", _TOO_LARGE),
    ("http 413", _TOO_LARGE),
    ("too large", _TOO_LARGE),
    ("size invalid", _TOO_LARGE),
    ("size_invalid", _TOO_LARGE),
    ("quota", _QUOTA),
    ("upper limit", _QUOTA),  # Harbor's words for it
    ("insufficient storage", _QUOTA),
    ("500 internal server error", "the registry failed: its disk may be full: look at its log"),
    ("unauthorized", _LOGIN),
    ("authentication required", _LOGIN),
    ("no basic auth credentials", _LOGIN),
    ("requested access to the resource is denied", _LOGIN),
)


def hint_of(command: str, said: str) -> str:
    """What to add to an error's message.

    Args:
        command: of the engine, such as ``push``.
        said: all that it printed on standard error.
    """
    # Podman warns of cgroups v1 before whatever goes wrong.
    lower = "\n".join(line for line in said.lower().splitlines() if "level=warning" not in line)
    hints = (*_OF_PUSH, *_ANY) if command == "push" else _ANY
    return next((f": {hint}" for sign, hint in hints if sign in lower), "")
