# Who deploys: a role that the pipeline of one repository, for one environment, may take. No key anywhere.
locals {
  ci = {
    github = {
      issuer   = "token.actions.githubusercontent.com"
      audience = "sts.amazonaws.com"
      subject  = "repo:${var.ci_repository}:environment:${var.environment}"
    }
    gitlab = {
      issuer   = "gitlab.com"
      audience = "https://gitlab.com"
      subject  = "project_path:${var.ci_repository}:ref_type:branch:ref:main"
    }
  }[var.ci_service]
  oidc_arn = "arn:aws:iam::${local.account}:oidc-provider/${local.ci.issuer}"
}

resource "aws_iam_openid_connect_provider" "ci" {
  count          = var.create_oidc_provider ? 1 : 0
  url            = "https://${local.ci.issuer}"
  client_id_list = [local.ci.audience]
}

data "aws_iam_policy_document" "ci_trust" {
  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]
    principals {
      type        = "Federated"
      identifiers = [local.oidc_arn]
    }
    condition {
      test     = "StringEquals"
      variable = "${local.ci.issuer}:aud"
      values   = [local.ci.audience]
    }
    condition {
      test     = "StringEquals"
      variable = "${local.ci.issuer}:sub"
      values   = [local.ci.subject]
    }
  }
}

resource "aws_iam_role" "deploy" {
  name                 = "${var.name}-${var.environment}-deploy"
  assume_role_policy   = data.aws_iam_policy_document.ci_trust.json
  max_session_duration = 3600
  depends_on           = [aws_iam_openid_connect_provider.ci]
}

resource "aws_iam_role_policy" "deploy" {
  name   = "deploy"
  role   = aws_iam_role.deploy.id
  policy = data.aws_iam_policy_document.deploy.json
}
