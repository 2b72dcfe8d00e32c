# Sourced by tests/aws: what is played, in the clone. Every part can be played again after a failure.

SECOND_RELEASE="A second release"

play() {
  if [ ! -e "$folder/begun" ]; then
    account_has_no_deployment
    echo "$settings" >"$folder/begun"
  fi
  trap 'stopped $?' EXIT
  if [ ! -e "$folder/goes-down" ]; then
    part "up" "$paydeploy" up
    part "status: as configured" "$paydeploy" status
    part "looked at from outside" look
    part "up again: nothing to do" nothing_to_do
    part "a second release" release
    touch "$folder/goes-down"
  fi
  part "down" "$paydeploy" down --yes
  part "down again: nothing to do" "$paydeploy" down --yes
  part "what is left" list_left
  git push --quiet "$repository" --delete "$branch"
  trap - EXIT
  # a later journey begins anew; the runs' logs stay until then
  rm -f -- "$folder/begun" "$folder/goes-down"
  say "The journey is over"
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
What is there costs money until it is taken down.
  go on:       the same command, with the same variables
  look:        cd $work && $paydeploy status; $paydeploy logs
  take down:   cd $work && $paydeploy down
               and then rm -r $folder, so that the next journey begins anew
END
  exit "$1"
}

# What is there already would be taken down in the end; what stays after an earlier journey may be there.
account_has_no_deployment() {
  say "status of an account without a deployment: not as configured"
  local code=0 there
  "$paydeploy" status --output json >"$folder/status.json" || code=$?
  if [ "$code" != 3 ]; then
    echo "tests/aws: \`paydeploy status\` ended with $code, not with 3; nothing was made" >&2
    [ "$code" = 0 ] && echo "  fix: use an account that nothing is deployed in" >&2
    exit 1
  fi
  there=$(jq -r '.steps[] | select(.state == "ok" or .state == "differs") | .step
    | select(test("^preflight/|^terraform/[^/]+/state$|^kubeconfig/") | not)' "$folder/status.json")
  if [ -n "$there" ]; then
    printf 'tests/aws: this project is deployed in account %s already:\n%s\n' "$account" "$there" >&2
    echo "  fix: use another account, or take it down first; this journey would, in the end" >&2
    exit 2
  fi
}

# As others see it: AWS, Kubernetes, Argo CD, and somebody on the internet.
look() {
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
    # a new name takes a while until every name server has it
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
  [ "$got" = "$wanted" ] || { echo "expected \`$wanted\`, got \`$got\`, of: $*" >&2; return 1; }
}

nothing_to_do() {
  "$paydeploy" up --output json >"$folder/again.ndjson"
  local begun
  begun=$(jq -r 'select(.event == "effect-started") | .step' "$folder/again.ndjson")
  [ -z "$begun" ] || { printf 'a second up was not idle:\n%s\n' "$begun" >&2; return 1; }
}

release() {
  if [ "$(git log -1 --format=%s)" != "$SECOND_RELEASE" ]; then
    as_author commit --quiet --allow-empty --message "$SECOND_RELEASE"
  fi
  git push --quiet "$repository" "HEAD:refs/heads/$branch"
  "$paydeploy" up
  look
}

# What AWS still knows of the project. Its index forgets some of what is deleted only after hours.
list_left() {
  local aws_region
  while read -r -u 3 _ aws_region _; do
    echo "$aws_region, by the tag Project:"
    aws resourcegroupstaggingapi get-resources --region "$aws_region" --output text \
      --tag-filters "Key=Project,Values=$(project)" --query 'ResourceTagMappingList[].[ResourceARN]'
  done 3< <(regions)
  cat <<END
Meant to stay: the state buckets ($(project)-tfstate-$account-REGION), the KMS keys, which are deleted in a week,
and RDSOSMetrics, the account's own log group. Anything else: look whether it is still there, and tell us.
END
}
