#!/bin/sh
# Protect the branch main: nobody pushes to it, maintainers merge once the pipeline has passed.
# Needs `glab`, logged in as a maintainer.
set -eu
command -v glab >/dev/null || { echo "glab is missing, see https://gitlab.com/gitlab-org/cli" >&2; exit 1; }
branch=main
all=projects/:id/protected_branches
this=$all/main

protect() {
  glab api --method POST "$all" \
    --field "name=$1" --field push_access_level=0 --field merge_access_level=40 \
    --field allow_force_push=false --field code_owner_approval_required=false >/dev/null
}

# GitLab changes no level of a protection that is there, it has to be made anew. Meanwhile one of the
# pattern $branch** holds, so that the branch is never open, whatever fails.
if glab api "$this" >/dev/null 2>&1; then
  glab api "$this%2A%2A" >/dev/null 2>&1 || protect "$branch**"
  glab api --method DELETE "$this" >/dev/null
fi
protect "$branch"
glab api --method DELETE "$this%2A%2A" >/dev/null 2>&1 || true
glab api --method PUT projects/:id --field only_allow_merge_if_pipeline_succeeds=true \
  --field only_allow_merge_if_all_discussions_are_resolved=true --field merge_method=merge >/dev/null
echo "$branch is protected"
