"""A session with AWS: credentials from where boto3 finds them, errors in our words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from modelyard.errors import ModelyardError, ToolFailed, UsageError

_EXPIRED = (
    "ExpiredToken", "ExpiredTokenException", "RequestExpired", "InvalidClientTokenId",
    "UnrecognizedClientException", "InvalidSignatureException", "AuthFailure",
)  # fmt: skip
_DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation")
_LOG_IN = "log in again (aws sso login), or set AWS_PROFILE; then run this again"


@dataclass(frozen=True)
class Session:
    """An account and a region."""

    account: str
    region: str
    vendor: Any

    def client(self, service: str) -> Any:
        """boto3's client of a service."""
        return self.vendor.client(service, region_name=self.region)

    @contextmanager
    def asking(self, what: str) -> Iterator[None]:
        """Turn what AWS refuses in this block into our errors; `what` is what was asked."""
        with _translated(what):
            yield


def open_session(region: str) -> Session:
    """Find credentials and see whose they are.

    Raises:
        UsageError: no region is named.
        ToolFailed: boto3 is not installed, there are no credentials, or they expired.
    """
    if not region:
        raise UsageError(
            "No AWS region is named.",
            why="deploy.environments.ENV.ecs.region is empty.",
            next_step="set it in modelyard.yaml, such as eu-central-1",
        )
    try:
        boto3 = import_module("boto3")
    except ImportError as error:
        raise ToolFailed(
            "boto3 is not installed.",
            why="The target ecs speaks to AWS through it.",
            next_step="pip install 'modelyard[aws]'",
        ) from error
    with _translated("who these credentials belong to"):
        vendor = boto3.session.Session()
        identity = vendor.client("sts", region_name=region).get_caller_identity()
    return Session(str(identity["Account"]), region, vendor)


@contextmanager
def _translated(what: str) -> Iterator[None]:
    errors = import_module("botocore.exceptions")
    try:
        yield
    except errors.ClientError as error:
        raise _client_error(what, error) from error
    except (errors.NoCredentialsError, errors.PartialCredentialsError,
            errors.TokenRetrievalError, errors.ProfileNotFound) as error:  # fmt: skip
        raise ToolFailed(
            "There are no AWS credentials.", why=str(error), next_step=_LOG_IN
        ) from error
    except errors.BotoCoreError as error:
        raise ToolFailed(
            f"AWS could not be asked for {what}.",
            why=str(error),
            next_step="see that the region is right and that its endpoint can be reached",
        ) from error


def _client_error(what: str, error: Any) -> ModelyardError:
    body = error.response.get("Error", {})
    code, message = str(body.get("Code", "")), str(body.get("Message", error))
    if code in _EXPIRED:
        return ToolFailed(
            "AWS does not accept your credentials.", why=f"{code}: {message}", next_step=_LOG_IN
        )
    if code in _DENIED:
        return ToolFailed(
            f"You have no right to {what}.",
            why=message,
            next_step="attach the policy of docs/clouds/ecs-policy.json to your role",
        )
    return ToolFailed(
        f"AWS refused {what}.", why=f"{code}: {message}", next_step="modelyard status"
    )
