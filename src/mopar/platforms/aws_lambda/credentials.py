"""The credentials that a gateway signs with: keys of the environment, or of a profile in the shared file."""

import os
from pathlib import Path

from mopar.runtime.aws_lambda.signing import Credentials, own_credentials
from mopar.types import DeploymentError

_KEYS = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
_WOULD_DO = (
    "set $AWS_ACCESS_KEY_ID and $AWS_SECRET_ACCESS_KEY, or name a profile with keys in ~/.aws/credentials (those of a "
    "role or SSO: aws configure export-credentials --format env)"
)


class OwnCredentials:
    """Credentials, which are read when they are first needed, and again when they have expired.

    Args:
        profile: that was asked for; empty for the environment's keys, or else ``$AWS_PROFILE``.
    """

    def __init__(self, profile: str) -> None:
        self._profile = profile
        self._found: Credentials | None = None

    def current(self) -> Credentials:
        """The credentials. Raises DeploymentError where there are none."""
        if self._found is None:
            self._found = self._read()
        return self._found

    def renewed(self) -> bool:
        """Read them again; whether there are others now. Raises DeploymentError where there are none."""
        before, self._found = self._found, self._read()
        return before is None or before.access_key != self._found.access_key or before.token != self._found.token

    def _read(self) -> Credentials:
        variables = os.environ
        if not self._profile and variables.get("AWS_ACCESS_KEY_ID") and variables.get("AWS_SECRET_ACCESS_KEY"):
            return Credentials(*(variables.get(name.upper(), "") for name in _KEYS))
        if variables.get("AWS_LAMBDA_FUNCTION_NAME") and variables.get("AWS_CONTAINER_CREDENTIALS_FULL_URI"):
            return _of_snapshot()
        profile = self._profile or variables.get("AWS_PROFILE") or "default"
        path = Path(variables.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials").expanduser()
        import configparser  # not where the environment has keys

        parser = configparser.RawConfigParser()
        try:
            parser.read_string(path.read_text())
            found = [parser.get(profile, name, fallback="") for name in _KEYS]
        except (OSError, UnicodeDecodeError, configparser.Error):  # what they say may quote a line with a key
            found = ["", "", ""]
        if not found[0] or not found[1]:
            raise DeploymentError(f"there are no AWS credentials of profile {profile} in {path}: {_WOULD_DO}")
        return Credentials(*found)


def _of_snapshot() -> Credentials:
    """Those of a function that Lambda has restored from a snapshot. Raises DeploymentError."""
    try:
        return own_credentials()
    except OSError as cause:
        raise DeploymentError(str(cause)) from cause
