"""ECR: the repository of an image, and the password for a push."""

from __future__ import annotations

import base64

from modelyard.tools.aws.session import Session


def repository(session: Session, name: str) -> str:
    """The address of a repository, which is made where it does not exist: tags never move in it."""
    client = session.client("ecr")
    with session.asking("the ECR repository"):
        try:
            found = client.describe_repositories(repositoryNames=[name])["repositories"]
        except client.exceptions.RepositoryNotFoundException:
            made = client.create_repository(
                repositoryName=name,
                imageTagMutability="IMMUTABLE",
                imageScanningConfiguration={"scanOnPush": True},
            )
            found = [made["repository"]]
    return str(found[0]["repositoryUri"])


def login(session: Session) -> tuple[str, str, str]:
    """User, password and registry for `docker login`; valid for twelve hours."""
    with session.asking("a password for ECR"):
        data = session.client("ecr").get_authorization_token()["authorizationData"][0]
    user, _, password = base64.b64decode(data["authorizationToken"]).decode().partition(":")
    return user, password, str(data["proxyEndpoint"])
