"""AWS, by boto3: ECR, ECS and the load balancer. boto3 is needed for the target `ecs` alone."""

from modelyard.tools.aws.ecr import login, repository
from modelyard.tools.aws.ecs import (
    Rollout,
    Task,
    Wanted,
    balancer_address,
    current,
    put_service,
    register,
    rollout,
    tasks,
)
from modelyard.tools.aws.logs import log_events
from modelyard.tools.aws.session import Session, open_session

__all__ = [
    "Rollout",
    "Session",
    "Task",
    "Wanted",
    "balancer_address",
    "current",
    "log_events",
    "login",
    "open_session",
    "put_service",
    "register",
    "repository",
    "rollout",
    "tasks",
]
