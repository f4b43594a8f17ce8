# What `modelyard deploy` asks of AWS, and no more: docs/clouds/ecs-policy.json without making a repository.
locals {
  ecs = "arn:aws:ecs:${var.region}:${local.account}"
}

data "aws_iam_policy_document" "deploy" {
  statement {
    sid       = "WhoAmI"
    actions   = ["sts:GetCallerIdentity"]
    resources = ["*"]
  }
  statement {
    sid       = "RegistryLogin"
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"]
  }
  statement {
    sid = "Push"
    actions = [
      "ecr:DescribeRepositories", "ecr:BatchCheckLayerAvailability", "ecr:InitiateLayerUpload",
      "ecr:UploadLayerPart", "ecr:CompleteLayerUpload", "ecr:PutImage", "ecr:BatchGetImage",
      "ecr:GetDownloadUrlForLayer",
    ]
    resources = [aws_ecr_repository.model.arn]
  }
  # IAM knows no narrower resource for this one.
  statement {
    sid       = "TaskDefinitions"
    actions   = ["ecs:RegisterTaskDefinition"]
    resources = ["*"]
  }
  statement {
    sid     = "Tags"
    actions = ["ecs:TagResource"]
    resources = [
      "${local.ecs}:task-definition/${var.name}-${var.environment}:*",
      "${local.ecs}:service/${aws_ecs_cluster.models.name}/${var.name}-${var.environment}",
    ]
    condition {
      test     = "StringEquals"
      variable = "ecs:CreateAction"
      values   = ["RegisterTaskDefinition", "CreateService"]
    }
  }
  statement {
    sid       = "Service"
    actions   = ["ecs:DescribeServices", "ecs:CreateService", "ecs:UpdateService"]
    resources = ["${local.ecs}:service/${aws_ecs_cluster.models.name}/${var.name}-${var.environment}"]
  }
  statement {
    sid     = "Cluster"
    actions = ["ecs:DescribeClusters", "ecs:ListTasks", "ecs:DescribeTasks"]
    resources = [
      aws_ecs_cluster.models.arn,
      "${local.ecs}:task/${aws_ecs_cluster.models.name}/*",
      "${local.ecs}:container-instance/${aws_ecs_cluster.models.name}/*",
    ]
  }
  statement {
    sid       = "LoadBalancer"
    actions   = ["elasticloadbalancing:DescribeTargetGroups", "elasticloadbalancing:DescribeLoadBalancers"]
    resources = ["*"]
  }
  statement {
    sid       = "Log"
    actions   = ["logs:FilterLogEvents"]
    resources = [aws_cloudwatch_log_group.server.arn, "${aws_cloudwatch_log_group.server.arn}:*"]
  }
  statement {
    sid       = "HandTheExecutionRoleToTheTask"
    actions   = ["iam:PassRole"]
    resources = [aws_iam_role.execution.arn]
    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values   = ["ecs-tasks.amazonaws.com"]
    }
  }
}
