"""The gateway in the background that serves functions which a platform runs: stopped, started, and as it was before."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec

from mopar.bundle import MANIFEST, Bundle
from mopar.files import read_bounded, to_json, write_whole
from mopar.platforms.deploying import Tell
from mopar.platforms.endpoints import Endpoints
from mopar.platforms.gateways import BackgroundGateways, GatewayRecord
from mopar.types import PlatformError


class GatewayOptions(Protocol):
    """What a platform's options say of the gateway in the background."""

    @property
    def host(self) -> str:
        """Address that it listens on."""

    @property
    def port(self) -> int:
        """Its port; 0 for any, or the earlier one's."""

    @property
    def token_file(self) -> Path | None:
        """File with the token that its requests must send; None for none."""


@dataclass(frozen=True, slots=True)
class EarlierGateway:
    """A gateway as it was: its record, and the addresses that it served with."""

    record: GatewayRecord
    endpoints: bytes


@dataclass(frozen=True, slots=True)
class _Served:
    """What a record of a gateway keeps: the manifest of the bundle that it serves."""

    manifest_sha256: str


class ServedGateway:
    """The gateway of one deployment.

    Args:
        gateways: in the background of this machine.
        bundle: to serve.
        name: of the deployment.
        options: of the gateway.
        tell: is told each stage.
    """

    def __init__(
        self, gateways: BackgroundGateways, bundle: Bundle, name: str, options: GatewayOptions, tell: Tell
    ) -> None:
        self._gateways = gateways
        self._bundle = bundle
        self._name = name
        self._options = options
        self._tell = tell

    def stop(self) -> EarlierGateway | None:
        """Stop the one that runs; None where none does."""
        record = self._gateways.find(self._name)
        if record is None or not record.alive():
            return None
        self._tell(f"stopping the gateway of {self._name} as it was")
        self._gateways.stop(record)
        return EarlierGateway(record, self._gateways.functions_file(self._name).read_bytes())

    def start(self, endpoints: Endpoints, earlier: EarlierGateway | None) -> None:
        """Start one with these functions; clients find it where an earlier one was. Raises PlatformError."""
        self._tell(f"starting the gateway of {self._name}")
        options = self._options
        port = earlier.record.port() if earlier is not None and not options.port else options.port
        path = self._gateways.functions_file(self._name)
        write_whole(path, to_json(endpoints))
        words = [str(self._bundle.root.resolve()), f"--host={options.host}", f"--port={port}", f"--functions={path}"]
        if options.token_file is not None:
            words.append(f"--token-file={options.token_file.resolve()}")
        served = msgspec.json.encode(_Served(_manifest_sha256(self._bundle.root))).decode()
        self._gateways.start(self._name, words, served)

    def restart(self, earlier: EarlierGateway) -> None:
        """Start one as it was. Raises PlatformError where it does not start, or its bundle has changed."""
        record = earlier.record
        served = msgspec.json.decode(record.document, type=_Served)
        root = Path(record.words[0])
        if _manifest_sha256(root) != served.manifest_sha256:
            raise PlatformError(f"the bundle that it served, {root}, has changed")
        write_whole(self._gateways.functions_file(self._name), earlier.endpoints)
        self._gateways.start(self._name, record.words_again(), record.document)

    def drop(self) -> None:
        """Stop what runs, and forget it. Raises PlatformError."""
        record = self._gateways.find(self._name)
        if record is not None:
            self._gateways.stop(record)
        self._gateways.forget(self._name)


def _manifest_sha256(root: Path) -> str:
    try:
        return hashlib.sha256(read_bounded(root / MANIFEST)).hexdigest()
    except OSError as cause:
        raise PlatformError(f"{root}: {cause.strerror or cause}") from cause
