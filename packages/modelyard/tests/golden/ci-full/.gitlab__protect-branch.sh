#!/bin/sh
# Protect the branch main: nobody pushes to it, maintainers merge once the pipeline has passed.
# Needs `glab`, logged in as a maintainer.
set -eu
command -v glab >/dev/null || { echo "glab is missing, see https://gitlab.com/gitlab-org/cli" >&2; exit 1; }
branch=main
glab api --method DELETE "projects/:id/protected_branches/main" >/dev/null 2>&1 || true
glab api --method POST projects/:id/protected_branches \
  --field "name=$branch" --field push_access_level=0 --field merge_access_level=40 \
  --field allow_force_push=false --field code_owner_approval_required=true >/dev/null
glab api --method PUT projects/:id --field only_allow_merge_if_pipeline_succeeds=true \
  --field only_allow_merge_if_all_discussions_are_resolved=true --field merge_method=merge >/dev/null
echo "$branch is protected"
