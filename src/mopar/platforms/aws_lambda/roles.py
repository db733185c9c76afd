"""Roles of a deployment's functions and of its state machine: each with one inline policy of its own."""

import contextlib
from collections.abc import Mapping, Sequence

import msgspec

from mopar.platforms.aws_lambda.account import Account, Nothing
from mopar.platforms.aws_lambda.changes import Changes
from mopar.platforms.aws_lambda.errors import NotFoundError
from mopar.platforms.aws_lambda.naming import DEPLOYMENT_TAG, role_path
from mopar.platforms.aws_lambda.policies import Statement, Trust, policy_document, trust_document
from mopar.platforms.aws_lambda.wire import FoundRole, RolePolicy, Roles
from mopar.types import UsageError

_IAM = "iam"
_POLICY = "mopar"


class LambdaRoles:
    """Roles of an account.

    Args:
        account: their account.
        deployment: whose they are.
    """

    def __init__(self, account: Account, deployment: str) -> None:
        self._account = account
        self._deployment = deployment

    def check(self, name: str) -> None:
        """Raise UsageError where there is a role of that name, and it is none of this deployment's."""
        found = self._find(name)
        if found is not None and _owner(found) != self._deployment:
            raise UsageError(
                f"role {name} has no tag {DEPLOYMENT_TAG}={self._deployment}, so it is not this deployment's: choose "
                "another --name, or name a role with --role"
            )

    def put(
        self, name: str, trust: Trust, statements: Sequence[Statement], tags: Mapping[str, str], changes: Changes
    ) -> str:
        """Make a role, or give the one that is there these rights; its ARN. Raises PlatformError."""
        found, what = self._find(name), f"role {name}"
        if found is None:
            changes.note(what, lambda: self.delete(name))
            found = self._account.ask(
                _IAM,
                "create_role",
                what,
                FoundRole,
                RoleName=name,
                Path=role_path(self._deployment),
                AssumeRolePolicyDocument=_text(trust_document(trust)),
                Description=f"of {self._deployment}, by mopar",
                Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
            )
            self._set_policy(name, _text(policy_document(statements)))
        else:
            earlier = self._policy(name)
            wanted = _text(policy_document(statements))
            if earlier != wanted:
                changes.note(what, lambda: self._set_policy(name, earlier))
                self._set_policy(name, wanted)
        return found.role.arn

    def names(self) -> tuple[str, ...]:
        """All roles of the deployment. Raises PlatformError."""
        path = role_path(self._deployment)
        pages = self._account.pages(_IAM, "list_roles", f"the roles of {self._deployment}", Roles, PathPrefix=path)
        return tuple(role.role_name for page in pages for role in page.roles)

    def delete(self, name: str) -> None:
        """Delete a role with its policy. Raises PlatformError."""
        what = f"role {name}"
        with contextlib.suppress(NotFoundError):  # it was made, and its policy was not
            self._account.ask(_IAM, "delete_role_policy", what, Nothing, RoleName=name, PolicyName=_POLICY)
        self._account.ask(_IAM, "delete_role", what, Nothing, RoleName=name)

    def _find(self, name: str) -> FoundRole | None:
        return self._account.find(_IAM, "get_role", f"role {name}", FoundRole, RoleName=name)

    def _policy(self, name: str) -> str:
        found = self._account.find(
            _IAM, "get_role_policy", f"role {name}", RolePolicy, RoleName=name, PolicyName=_POLICY
        )
        return "" if found is None else _text(found.policy_document)

    def _set_policy(self, name: str, document: str) -> None:
        """An empty document is none."""
        what, place = f"role {name}", {"RoleName": name, "PolicyName": _POLICY}
        if document:
            self._account.ask(_IAM, "put_role_policy", what, Nothing, **place, PolicyDocument=document)
        else:
            self._account.ask(_IAM, "delete_role_policy", what, Nothing, **place)


def _owner(found: FoundRole) -> str:
    return next((tag.value for tag in found.role.tags if tag.key == DEPLOYMENT_TAG), "")


def _text(document: Mapping[str, object]) -> str:
    return msgspec.json.encode(document, order="sorted").decode()
