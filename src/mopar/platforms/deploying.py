"""The Protocol by which bundles get to a platform and stay there: package, deploy, status, remove.

``mopar.platforms.base`` is about functions that run for as long as a process of ours does; this is about deployments
that outlive the command that made them.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

from mopar.bundle import Bundle
from mopar.types.deployed import Deployed, Packaged, Removed

Tell = Callable[[str], None]
"""Called with each stage of long work, such as ``building f3``."""

OptionsT_contra = TypeVar("OptionsT_contra", contravariant=True)


class Platform(Protocol[OptionsT_contra]):
    """A platform that bundles are deployed to.

    ``name`` is what ``--platform`` takes. ``options`` is a frozen dataclass whose fields are the platform's own
    options (``mopar.platforms.options``); every method gets one.
    """

    @property
    def name(self) -> str:
        """What ``--platform`` takes."""

    @property
    def options(self) -> type[Any]:
        """The dataclass of its options."""

    def package(self, bundle: Bundle, name: str, into: Path, options: OptionsT_contra, tell: Tell) -> Packaged:
        """Write all that deploying would use to the folder ``into``, which does not exist or is an earlier package.

        Args:
            bundle: what to package.
            name: of the deployment that it is for.
            into: the folder; where this fails, it is as it was.
            options: of the platform.
            tell: is told each stage.

        Raises:
            UsageError: an option is wrong, or the platform takes no packages.
            PlatformError: a limit of the platform is hit; names the function, the limit and what would do.
        """

    def deploy(self, bundle: Bundle, name: str, options: OptionsT_contra, tell: Tell) -> Deployed:
        """Create a deployment, or update the one of that name, and wait until it answers.

        All or nothing: where it fails, what it made is removed, or the error names what is left.

        Raises:
            UsageError: an option is wrong.
            PlatformError: the platform refused, failed or was not ready in time; names the function and what would do.
        """

    def status(self, name: str, options: OptionsT_contra) -> Deployed:
        """A deployment as it is now.

        Raises:
            UsageError: there is none of that name.
            PlatformError: the platform cannot be asked.
        """

    def remove(self, name: str, options: OptionsT_contra, tell: Tell) -> Removed:
        """Remove a deployment. What cannot be removed is named in the answer.

        Raises:
            UsageError: there is none of that name.
            PlatformError: the platform cannot be asked.
        """


AnyPlatform = Platform[Any]
