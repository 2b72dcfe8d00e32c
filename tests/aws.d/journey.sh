# Sourced by tests/aws: the journey itself, in the clone. Every part can be repeated after a failure.

SECOND_RELEASE="A second release"

run_journey() {
  if [ ! -e "$folder/started" ]; then
    account_has_no_deployment
    echo "$settings" >"$folder/started"
  fi
  trap 'stopped $?' EXIT
  if [ ! -e "$folder/deleting" ]; then
    part "up" "$paydeploy" up
    part "status: as configured" "$paydeploy" status
    part "checks from outside" check_from_outside
    part "up again: nothing to do" nothing_to_do
    part "a second release" release
    touch "$folder/deleting"
  fi
  part "down" "$paydeploy" down --yes
  part "down again: nothing to do" "$paydeploy" down --yes
  part "what remains" list_remaining
  git push --quiet "$repository" --delete "$branch"
  trap - EXIT
  # The next journey starts from the beginning; until then the runs' logs stay.
  rm -f -- "$folder/started" "$folder/deleting"
  say "The journey is finished"
}

part() {
  at=$1
  shift
  say "$at"
  "$@"
}

stopped() {
  trap - EXIT
  cat >&2 <<END

tests/aws stopped ($1) at: $at
Existing resources cost money until they are deleted.
  continue:  run the same command with the same variables
  inspect:   cd $work && $paydeploy status; $paydeploy logs
  delete:    cd $work && $paydeploy down
             and then rm -r $folder, so that the next journey starts from the beginning
END
  exit "$1"
}

# An existing deployment would be deleted at the end, so refuse it. What an earlier journey leaves behind is accepted.
account_has_no_deployment() {
  say "status of an account without a deployment: differs"
  local code=0 existing
  "$paydeploy" status --output json >"$folder/status.json" || code=$?
  if [ "$code" != 3 ]; then
    echo "tests/aws: \`paydeploy status\` exited with $code instead of 3; nothing was created" >&2
    [ "$code" = 0 ] && echo "  fix: use an account without a deployment" >&2
    exit 1
  fi
  existing=$(jq -r '.steps[] | select(.state == "ok" or .state == "differs") | .step
    | select(test("^preflight/|^terraform/[^/]+/state$|^kubeconfig/") | not)' "$folder/status.json")
  if [ -n "$existing" ]; then
    printf 'tests/aws: this project is already deployed in account %s:\n%s\n' "$account" "$existing" >&2
    echo "  fix: use another account, or run paydeploy down there first: this journey would delete it at its end" >&2
    exit 2
  fi
}

# Checks the deployment through AWS, Kubernetes, Argo CD, and the internet.
check_from_outside() {
  local name aws_region role domain hub commit
  hub=$(regions | awk '$3 == "hub" { print $1 }')
  commit=$(git rev-parse HEAD)
  while read -r -u 3 name aws_region role domain; do
    echo "$name: a $role in $aws_region, at https://$domain"
    expect ACTIVE aws eks describe-cluster --region "$aws_region" --name "$(project)-$name" \
      --query cluster.status --output text
    kube "$name" -n payment-api wait pod --for=condition=Ready --timeout=2m -l app.kubernetes.io/component=api
    kube "$name" -n payment-api get pods -o wide
    expect "$commit Synced Healthy" kube "$hub" -n argocd get application "payment-latency-api-$name" \
      -o jsonpath='{.status.sync.revision} {.status.sync.status} {.status.health.status}'
    # It takes minutes until all name servers know a new name, hence the retries.
    ask "https://$domain/health" --retry 60 --retry-delay 10 --retry-all-errors --fail |
      jq -e --arg region "$aws_region" '.status == "healthy" and .database == "connected" and .region == $region' >/dev/null
    expect 301 ask "http://$domain/health" --output /dev/null --write-out '%{http_code}'
    expect 401 ask "https://$domain/api/payment/simulate" --output /dev/null --write-out '%{http_code}'
    expect 404 ask "https://$domain/metrics" --output /dev/null --write-out '%{http_code}'
  done 3< <(regions)
}

project() { sed -n 's/^project = "\(.*\)"/\1/p' paydeploy.toml; }
kube() { kubectl --kubeconfig .paydeploy/kubeconfig --context "$@"; }
ask() { curl --silent --show-error --max-time 30 "$@"; }

expect() {
  local wanted=$1 got
  shift
  got=$("$@")
  [ "$got" = "$wanted" ] || { echo "expected \`$wanted\`, got \`$got\` from: $*" >&2; return 1; }
}

nothing_to_do() {
  "$paydeploy" up --output json >"$folder/again.ndjson"
  local started
  started=$(jq -r 'select(.event == "effect-started") | .step' "$folder/again.ndjson")
  [ -z "$started" ] || { printf 'the second up changed something:\n%s\n' "$started" >&2; return 1; }
}

release() {
  if [ "$(git log -1 --format=%s)" != "$SECOND_RELEASE" ]; then
    as_author commit --quiet --allow-empty --message "$SECOND_RELEASE"
  fi
  git push --quiet "$repository" "HEAD:refs/heads/$branch"
  "$paydeploy" up
  check_from_outside
}

# Lists what AWS still reports for the project. Its tag index drops some deleted resources only after hours.
list_remaining() {
  local aws_region
  while read -r -u 3 _ aws_region _; do
    echo "$aws_region, by tag Project:"
    aws resourcegroupstaggingapi get-resources --region "$aws_region" --output text \
      --tag-filters "Key=Project,Values=$(project)" --query 'ResourceTagMappingList[].[ResourceARN]'
  done 3< <(regions)
  cat <<END
Expected to remain: the state buckets ($(project)-tfstate-$account-REGION) with their keys (alias/$(project)-REGION-state),
the data keys, which AWS deletes in a week, and RDSOSMetrics, the account's own log group. If anything else still exists, please report it.
END
}
