"""Log groups of a deployment's functions."""

from collections.abc import Mapping

from mopar.platforms.aws_lambda.account import Account, Nothing
from mopar.platforms.aws_lambda.changes import Changes
from mopar.platforms.aws_lambda.naming import DEPLOYMENT_TAG
from mopar.platforms.aws_lambda.wire import LogGroup, LogGroups, LogTags

_LOGS = "logs"


class LogGroupsOf:
    """Log groups of an account.

    Args:
        account: their account.
        deployment: whose they are.
    """

    def __init__(self, account: Account, deployment: str) -> None:
        self._account = account
        self._deployment = deployment

    def put(self, name: str, days: int, tags: Mapping[str, str], changes: Changes) -> None:
        """Make a log group, or set how long the deployment's own keeps events.

        One that somebody else made is left as it is. Raises PlatformError.
        """
        found, what = self._find(name), f"log group {name}"
        if found is None:
            changes.note(what, lambda: self.delete(name))
            self._account.ask(_LOGS, "create_log_group", what, Nothing, logGroupName=name, tags=dict(tags))
            self._retain(name, days)
        elif self.is_ours(name) and found.retention_in_days != days:
            earlier = found.retention_in_days
            changes.note(what, lambda: self._retain(name, earlier))
            self._retain(name, days)

    def is_ours(self, name: str) -> bool:
        """Whether a log group is this deployment's. Raises PlatformError."""
        found = self._account.find(
            _LOGS,
            "list_tags_for_resource",
            f"log group {name}",
            LogTags,
            resourceArn=self._account.place.log_group(name),
        )
        return found is not None and found.tags.get(DEPLOYMENT_TAG) == self._deployment

    def names(self, prefix: str) -> tuple[str, ...]:
        """The deployment's log groups below a prefix. Raises PlatformError."""
        return tuple(found.log_group_name for found in self._groups(prefix) if self.is_ours(found.log_group_name))

    def delete(self, name: str) -> None:
        """Delete a log group. Raises PlatformError."""
        self._account.ask(_LOGS, "delete_log_group", f"log group {name}", Nothing, logGroupName=name)

    def _find(self, name: str) -> LogGroup | None:
        return next((found for found in self._groups(name) if found.log_group_name == name), None)

    def _groups(self, prefix: str) -> list[LogGroup]:
        pages = self._account.pages(
            _LOGS, "describe_log_groups", f"log groups {prefix}", LogGroups, logGroupNamePrefix=prefix
        )
        return [found for page in pages for found in page.log_groups]

    def _retain(self, name: str, days: int | None) -> None:
        """Keep events for so long; None for ever."""
        what = f"log group {name}"
        if days is None:
            self._account.ask(_LOGS, "delete_retention_policy", what, Nothing, logGroupName=name)
        else:
            self._account.ask(_LOGS, "put_retention_policy", what, Nothing, logGroupName=name, retentionInDays=days)
