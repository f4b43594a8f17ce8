output "cluster" {
  description = "aws eks update-kubeconfig --name THIS --alias eks; then deploy.environments.ENV.context is eks."
  value       = aws_eks_cluster.models.name
}

output "repository" {
  description = "deploy.environments.ENV.repository"
  value       = aws_ecr_repository.model.repository_url
}

output "namespace" {
  description = "deploy.environments.ENV.namespace: the only one in which the pipeline may change anything."
  value       = "${var.name}-${var.environment}"
}

output "deploy_role" {
  description = "The role that the pipeline takes: role-to-assume, or AWS_ROLE_ARN."
  value       = aws_iam_role.deploy.arn
}
