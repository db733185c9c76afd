"""The password of an OpenFaaS gateway: from a file, the environment, or where ``faas-cli login`` has put it."""

import base64
import binascii
import os
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from mopar.files import read_bounded
from mopar.types import UsageError

VARIABLE = "OPENFAAS_PASSWORD"
_CONFIG_VARIABLE = "OPENFAAS_CONFIG"
"""The folder of ``faas-cli``'s file, as it takes it itself."""
_MOST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user's name and password; without a password nothing is sent."""

    username: str
    password: str = field(repr=False)


class _Login(msgspec.Struct):
    gateway: str = ""
    auth: str = ""
    token: str = ""


class _Logins(msgspec.Struct):
    auths: list[_Login] = []


def credentials_for(url: str, username: str, password_file: Path | None) -> Credentials:
    """The credentials of a gateway: the file's, or else the environment's, or else those of ``faas-cli login``.

    Args:
        url: of the gateway, as ``faas-cli`` knows it.
        username: that goes with a file's or the environment's password.
        password_file: holds the password; None for none.

    Raises:
        UsageError: a file cannot be read, or has no password.
    """
    if password_file is not None:
        return Credentials(username, _password_in(password_file))
    if password := os.environ.get(VARIABLE, ""):
        return Credentials(username, password)
    return _logged_in(url) or Credentials(username, "")


def _password_in(path: Path) -> str:
    try:
        text = read_bounded(path, _MOST_BYTES).decode()
    except OSError as cause:
        raise UsageError(f"--password-file {path}: {cause.strerror or cause}") from cause
    except UnicodeDecodeError as cause:
        raise UsageError(f"--password-file {path}: a password is text") from cause
    password = text.removesuffix("\n").removesuffix("\r")
    if not password or "\n" in password:
        raise UsageError(f"--password-file {path}: write the password into it, in one line")
    return password


def _logged_in(url: str) -> Credentials | None:
    home = Path(os.environ.get(_CONFIG_VARIABLE, "") or Path.home() / ".openfaas")
    path = home / "config.yml"
    if not path.exists():
        return None
    try:
        found = msgspec.yaml.decode(read_bounded(path, _MOST_BYTES), type=_Logins)
        tokens = [login.token for login in found.auths if login.gateway.rstrip("/") == url and login.auth == "basic"]
        if not tokens:
            return None
        username, separator, password = base64.b64decode(tokens[0], validate=True).decode().partition(":")
    except OSError as cause:
        raise UsageError(f"{path}: {cause.strerror or cause}") from cause
    except (msgspec.DecodeError, binascii.Error, UnicodeDecodeError):
        # What it says of its cause may repeat a token.
        raise UsageError(f"{path}: not a file of faas-cli: log in again with faas-cli login") from None
    if not separator:
        raise UsageError(f"{path}: no user name and password for {url}: log in again with faas-cli login")
    return Credentials(username, password)
