"""A deployment's part of a bucket: archives on their way to Lambda, weights, and tensors that expire."""

from collections.abc import Iterator
from functools import partial

from mopar.platforms.aws_lambda.account import Account, Nothing
from mopar.platforms.aws_lambda.changes import Changes
from mopar.platforms.aws_lambda.function_package import FunctionPackage
from mopar.platforms.aws_lambda.naming import package_key, tensors_prefix
from mopar.platforms.aws_lambda.wire import Bucket, Lifecycle, Objects
from mopar.types import UsageError

_S3 = "s3"
_TENSOR_DAYS = 1


class DeploymentBucket:
    """What a deployment has in a bucket.

    Args:
        account: that it is asked with.
        bucket: its name.
        deployment: whose objects are meant.
    """

    def __init__(self, account: Account, bucket: str, deployment: str) -> None:
        self._account = account
        self._bucket = bucket
        self._deployment = deployment

    def check(self) -> None:
        """Raise UsageError where there is no such bucket in the functions' region."""
        found = self._account.find(_S3, "head_bucket", f"bucket {self._bucket}", Bucket, Bucket=self._bucket)
        if found is None:
            raise UsageError(f"--bucket {self._bucket}: there is no such bucket: make it in {self._account.region}")
        if found.bucket_region and found.bucket_region != self._account.region:
            raise UsageError(
                f"--bucket {self._bucket} is in {found.bucket_region}, and the functions in {self._account.region}: "
                "name one there"
            )

    def expire_tensors(self, changes: Changes) -> None:
        """Have a lifecycle rule delete tensors; rules of others stay as they are. Raises PlatformError."""
        rules = self._rules()
        wanted: dict[str, object] = {
            "ID": self._rule,
            "Status": "Enabled",
            "Filter": {"Prefix": tensors_prefix(self._deployment)},
            "Expiration": {"Days": _TENSOR_DAYS},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": _TENSOR_DAYS},
        }
        if wanted not in rules:
            changes.note(f"lifecycle rules of bucket {self._bucket}", partial(self._set_rules, rules))
            self._set_rules([*(rule for rule in rules if rule.get("ID") != self._rule), wanted])

    def send(self, package: FunctionPackage, changes: Changes) -> str:
        """Upload an archive; its key. Raises PlatformError."""
        key = package_key(self._deployment, package.sha256)
        changes.note(f"object {key} of bucket {self._bucket}", partial(self.delete, key))
        with package.path.open("rb") as file:
            self._account.ask(
                _S3,
                "put_object",
                f"the archive of function {package.function}",
                Nothing,
                Bucket=self._bucket,
                Key=key,
                Body=file,
            )
        return key

    def send_weights(self, package: FunctionPackage, changes: Changes) -> None:
        """Upload the files that a function fetches, where they are not there already. Raises PlatformError."""
        for stored in package.stored:
            what = f"weights of function {package.function}"
            place = {"Bucket": self._bucket, "Key": stored.key}
            if self._account.find(_S3, "head_object", what, Nothing, **place) is not None:
                continue
            changes.note(f"object {stored.key} of bucket {self._bucket}", partial(self.delete, stored.key))
            with stored.path.open("rb") as file:
                self._account.ask(_S3, "put_object", what, Nothing, **place, Body=file)

    def delete(self, key: str) -> None:
        """Delete an object. Raises PlatformError."""
        what = f"object {key} of bucket {self._bucket}"
        self._account.ask(_S3, "delete_object", what, Nothing, Bucket=self._bucket, Key=key)

    def holds_anything(self) -> bool:
        """Whether there are objects of the deployment, or its rule. Raises PlatformError."""
        return any(self._pages()) or any(rule.get("ID") == self._rule for rule in self._rules())

    def clear(self) -> None:
        """Delete all of the deployment's objects, and its rule. Raises PlatformError."""
        for keys in self._pages():
            batch = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
            self._account.ask(_S3, "delete_objects", self._objects, Nothing, Bucket=self._bucket, Delete=batch)
        rules = self._rules()
        others = [rule for rule in rules if rule.get("ID") != self._rule]
        if len(others) < len(rules):
            self._set_rules(others)

    def _pages(self) -> Iterator[list[str]]:
        """Keys of the deployment's objects, as many at once as one request deletes."""
        prefix = f"mopar/{self._deployment}/"
        pages = self._account.pages(_S3, "list_objects_v2", self._objects, Objects, Bucket=self._bucket, Prefix=prefix)
        return ([found.key for found in page.contents] for page in pages if page.contents)

    @property
    def _objects(self) -> str:
        return f"objects mopar/{self._deployment}/ of bucket {self._bucket}"

    @property
    def _rule(self) -> str:
        return f"mopar-{self._deployment}"

    def _rules(self) -> list[dict[str, object]]:
        what = f"lifecycle rules of bucket {self._bucket}"
        found = self._account.find(_S3, "get_bucket_lifecycle_configuration", what, Lifecycle, Bucket=self._bucket)
        return [] if found is None else found.rules

    def _set_rules(self, rules: list[dict[str, object]]) -> None:
        what, place = f"lifecycle rules of bucket {self._bucket}", {"Bucket": self._bucket}
        if not rules:
            self._account.ask(_S3, "delete_bucket_lifecycle", what, Nothing, **place)
            return
        self._account.ask(
            _S3,
            "put_bucket_lifecycle_configuration",
            what,
            Nothing,
            **place,
            LifecycleConfiguration={"Rules": rules},
        )
