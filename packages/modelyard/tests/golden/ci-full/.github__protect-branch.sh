#!/bin/sh
# Protect the branch main as branch-protection.json says. Needs `gh`, logged in as an administrator.
# Merges with a merge commit are kept possible: feature branches stay visible in the graph.
set -eu
cd "$(dirname "$0")"
command -v gh >/dev/null || { echo "gh is missing, see https://cli.github.com" >&2; exit 1; }
repository=${1:-$(gh repo view --json nameWithOwner --jq .nameWithOwner)}
gh api --method PUT "repos/$repository/branches/main/protection" --input branch-protection.json >/dev/null
echo "$repository: main is protected"
