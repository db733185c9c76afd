"""The state machine of a deployment on Step Functions."""

import time
from collections.abc import Mapping

from mopar.platforms.aws_lambda.account import Account, Nothing, when_role_is_known
from mopar.platforms.aws_lambda.changes import Changes
from mopar.platforms.aws_lambda.naming import DEPLOYMENT_TAG
from mopar.platforms.aws_lambda.wire import StateMachine, StateTags
from mopar.types import PlatformError, UsageError

_STATES = "stepfunctions"
_PAUSE_S = 0.5


class DeploymentMachine:
    """A state machine.

    Args:
        account: its account.
        deployment: whose it is; its name too.
        ready_s: how long its role may take to be known, and it to be deleted.
    """

    def __init__(self, account: Account, deployment: str, ready_s: float) -> None:
        self._account = account
        self._deployment = deployment
        self._ready_s = ready_s
        self._what = f"state machine {deployment}"

    @property
    def arn(self) -> str:
        """Its ARN, whether it is there or not."""
        return self._account.place.state_machine(self._deployment)

    def find(self) -> StateMachine | None:
        """The machine, if it is there and this deployment's. Raises UsageError where it is somebody else's."""
        found = self._account.find(
            _STATES, "describe_state_machine", self._what, StateMachine, stateMachineArn=self.arn
        )
        if found is None or found.status == "DELETING":
            return None
        tags = self._account.ask(_STATES, "list_tags_for_resource", self._what, StateTags, resourceArn=self.arn)
        if not any(tag.key == DEPLOYMENT_TAG and tag.value == self._deployment for tag in tags.tags):
            raise UsageError(
                f"{self._what} has no tag {DEPLOYMENT_TAG}={self._deployment}, so it is not this deployment's: choose "
                "another --name"
            )
        return found

    def put(self, definition: str, role: str, tags: Mapping[str, str], changes: Changes) -> None:
        """Make it, or change the one that is there. Raises PlatformError."""
        earlier = self.find()
        if earlier is None:
            changes.note(self._what, self.delete)
            when_role_is_known(lambda: self._create(definition, role, tags), self._ready_s)
            return
        changes.note(self._what, lambda: self._update(earlier.definition, earlier.role_arn))
        when_role_is_known(lambda: self._update(definition, role), self._ready_s)

    def delete(self) -> None:
        """Delete it and wait until it is gone. Raises PlatformError."""
        self._account.ask(_STATES, "delete_state_machine", self._what, Nothing, stateMachineArn=self.arn)
        deadline = time.monotonic() + self._ready_s
        while self._account.find(_STATES, "describe_state_machine", self._what, Nothing, stateMachineArn=self.arn):
            if time.monotonic() + _PAUSE_S > deadline:
                raise PlatformError(f"{self._what} was deleted and is still there after {self._ready_s:g} s")
            time.sleep(_PAUSE_S)

    def _create(self, definition: str, role: str, tags: Mapping[str, str]) -> None:
        self._account.ask(
            _STATES,
            "create_state_machine",
            self._what,
            Nothing,
            name=self._deployment,
            definition=definition,
            roleArn=role,
            type="EXPRESS",
            tags=[{"key": key, "value": value} for key, value in tags.items()],
        )

    def _update(self, definition: str, role: str) -> None:
        self._account.ask(
            _STATES,
            "update_state_machine",
            self._what,
            Nothing,
            stateMachineArn=self.arn,
            definition=definition,
            roleArn=role,
        )
