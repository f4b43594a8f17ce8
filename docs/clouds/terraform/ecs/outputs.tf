output "cluster" {
  description = "deploy.environments.ENV.ecs.cluster"
  value       = aws_ecs_cluster.models.name
}

output "repository" {
  description = "deploy.environments.ENV.repository"
  value       = aws_ecr_repository.model.repository_url
}

output "subnets" {
  description = "deploy.environments.ENV.ecs.subnets"
  value       = var.private_subnet_ids
}

output "security_groups" {
  description = "deploy.environments.ENV.ecs.security_groups"
  value       = [aws_security_group.tasks.id]
}

output "execution_role" {
  description = "deploy.environments.ENV.ecs.execution_role"
  value       = aws_iam_role.execution.arn
}

output "target_group" {
  description = "deploy.environments.ENV.ecs.target_group"
  value       = aws_lb_target_group.endpoint.arn
}

output "balancer" {
  description = "The load balancer's name: the endpoint's own name is a CNAME of it, and deploy.environments.ENV.url."
  value       = aws_lb.endpoint.dns_name
}

output "deploy_role" {
  description = "The role that the pipeline takes: role-to-assume, or AWS_ROLE_ARN."
  value       = aws_iam_role.deploy.arn
}
