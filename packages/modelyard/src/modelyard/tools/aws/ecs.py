"""ECS on Fargate: task definitions, a service with a circuit breaker, its rollout."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from modelyard.errors import UsageError
from modelyard.tools.aws.session import Session


@dataclass(frozen=True)
class Wanted:
    """What the service shall be."""

    name: str
    cluster: str
    image: str
    port: int
    cpu: int
    memory: int
    count: int
    subnets: tuple[str, ...]
    security_groups: tuple[str, ...]
    target_group: str | None
    execution_role: str
    public_ip: bool
    drain_seconds: int
    environment: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Task:
    """One task. `why` is what stopped it."""

    name: str
    state: str
    healthy: bool
    started: str
    image: str
    why: str = ""


@dataclass(frozen=True)
class Rollout:
    """A service's newest deployment: state is IN_PROGRESS, COMPLETED or FAILED."""

    task_definition: str
    state: str
    why: str
    running: int
    desired: int


def register(session: Session, wanted: Wanted) -> str:
    """Make a new revision of the task definition; returns its ARN."""
    container = {
        "name": "server",
        "image": wanted.image,
        "essential": True,
        "portMappings": [{"containerPort": wanted.port, "protocol": "tcp"}],
        "readonlyRootFilesystem": True,
        "user": "10001:10001",
        "linuxParameters": {"capabilities": {"drop": ["ALL"]}, "initProcessEnabled": False},
        # SIGTERM, the drain, and what the server gives its workers to end; 120 is ECS' limit.
        "stopTimeout": min(120, wanted.drain_seconds + 35),
        "environment": [
            {"name": name, "value": value} for name, value in sorted(wanted.environment.items())
        ],
        "healthCheck": {
            "command": [
                "CMD", "python3", "-c",
                "import urllib.request as r; "
                f"r.urlopen('http://127.0.0.1:{wanted.port}/v2/health/ready', timeout=2)",
            ],
            "interval": 10, "timeout": 5, "retries": 3, "startPeriod": 60,
        },
        "logConfiguration": {
            "logDriver": "awslogs",
            "options": {
                "awslogs-group": f"/modelyard/{wanted.name}",
                "awslogs-region": session.region,
                "awslogs-stream-prefix": "server",
            },
        },
    }  # fmt: skip
    with session.asking("a new task definition"):
        made = session.client("ecs").register_task_definition(
            family=wanted.name,
            requiresCompatibilities=["FARGATE"],
            networkMode="awsvpc",
            cpu=str(wanted.cpu),
            memory=str(wanted.memory),
            executionRoleArn=wanted.execution_role,
            runtimePlatform={"cpuArchitecture": "X86_64", "operatingSystemFamily": "LINUX"},
            containerDefinitions=[container],
            tags=[{"key": key, "value": value} for key, value in sorted(wanted.tags.items())],
        )
    return str(made["taskDefinition"]["taskDefinitionArn"])


def put_service(session: Session, wanted: Wanted, task_definition: str) -> None:
    """Create the service, or move it to another task definition.

    The circuit breaker of ECS itself goes back to the last deployment that was complete.

    Raises:
        UsageError: the cluster does not exist.
    """
    client = session.client("ecs")
    with session.asking("the clusters"):
        found = client.describe_clusters(clusters=[wanted.cluster])["clusters"]
    if not any(entry["status"] == "ACTIVE" for entry in found):
        raise UsageError(
            f"There is no ECS cluster {wanted.cluster!r} in {session.region}.",
            why=f"The account is {session.account}.",
            next_step=f"aws ecs create-cluster --cluster-name {wanted.cluster}",
        )
    common: dict[str, Any] = {
        "cluster": wanted.cluster,
        "desiredCount": wanted.count,
        "taskDefinition": task_definition,
        "deploymentConfiguration": {
            "deploymentCircuitBreaker": {"enable": True, "rollback": True},
            "minimumHealthyPercent": 100,
            "maximumPercent": 200,
        },
        "networkConfiguration": {
            "awsvpcConfiguration": {
                "subnets": list(wanted.subnets),
                "securityGroups": list(wanted.security_groups),
                "assignPublicIp": "ENABLED" if wanted.public_ip else "DISABLED",
            }
        },
    }
    with session.asking("the service"):
        if current(session, wanted.cluster, wanted.name) is not None:
            client.update_service(service=wanted.name, forceNewDeployment=False, **common)
            return
        balancers = (
            [{"targetGroupArn": wanted.target_group, "containerName": "server",
              "containerPort": wanted.port}]
            if wanted.target_group
            else []
        )  # fmt: skip
        extra = {"healthCheckGracePeriodSeconds": 60} if balancers else {}
        client.create_service(
            serviceName=wanted.name,
            launchType="FARGATE",
            loadBalancers=balancers,
            tags=[{"key": key, "value": value} for key, value in sorted(wanted.tags.items())],
            **extra,
            **common,
        )


def current(session: Session, cluster: str, name: str) -> dict[str, Any] | None:
    """The service as AWS describes it, or None where there is none."""
    client = session.client("ecs")
    with session.asking("the service"):
        try:
            found = client.describe_services(cluster=cluster, services=[name])["services"]
        except client.exceptions.ClusterNotFoundException:
            return None
    alive = [entry for entry in found if entry["status"] == "ACTIVE"]
    return dict(alive[0]) if alive else None


def rollout(service: dict[str, Any]) -> Rollout:
    """How far the service's newest deployment is."""
    newest = next(entry for entry in service["deployments"] if entry["status"] == "PRIMARY")
    running, desired = int(newest.get("runningCount", 0)), int(newest.get("desiredCount", 0))
    state = newest.get("rolloutState") or ("COMPLETED" if running >= desired else "IN_PROGRESS")
    return Rollout(
        service["taskDefinition"], state, newest.get("rolloutStateReason", ""), running, desired
    )


def tasks(session: Session, cluster: str, name: str, *, stopped: bool = False) -> list[Task]:
    """The service's tasks; with `stopped` those that ended in the last hour, and why."""
    client = session.client("ecs")
    with session.asking("the tasks"):
        arns = client.list_tasks(
            cluster=cluster, serviceName=name, desiredStatus="STOPPED" if stopped else "RUNNING"
        )["taskArns"]
        found = client.describe_tasks(cluster=cluster, tasks=arns)["tasks"] if arns else []
    return [
        Task(
            name=str(entry["taskArn"]).rpartition("/")[2],
            state=entry.get("lastStatus", ""),
            healthy=entry.get("healthStatus") in ("HEALTHY", None),
            started=str(entry.get("startedAt", ""))[:19],
            image=next((c.get("imageDigest", "") for c in entry.get("containers", [])), ""),
            why="; ".join(
                filter(
                    None,
                    [
                        entry.get("stoppedReason"),
                        *(c.get("reason") for c in entry.get("containers", [])),
                    ],
                )
            ),
        )
        for entry in found
    ]


def balancer_address(session: Session, target_group: str) -> str:
    """The DNS name of the load balancer that a target group belongs to, or an empty text."""
    client = session.client("elbv2")
    with session.asking("the load balancer"):
        group = client.describe_target_groups(TargetGroupArns=[target_group])["TargetGroups"][0]
        arns = group.get("LoadBalancerArns") or []
        if not arns:
            return ""
        found = client.describe_load_balancers(LoadBalancerArns=arns[:1])["LoadBalancers"]
    return str(found[0]["DNSName"])
