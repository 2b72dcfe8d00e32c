# Sourced by tests/aws: the checks before anything is created.

settings_are_valid() {
  [[ $account =~ ^[0-9]{12}$ ]] ||
    problem "PAYDEPLOY_AWS_ACCOUNT is \`$account\`, not an AWS account ID" "set it to the account's 12 digits"
  [[ $zone =~ ^([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}$ ]] ||
    problem "PAYDEPLOY_AWS_ZONE is \`$zone\`, not a valid zone name" \
      "set it to the hosted zone's name, in lower case and without the trailing dot"
  # Refuse characters that would end the TOML string or the sed expression that the URL becomes part of.
  local url='^(https://|ssh://[^/]+:443/)[^][:space:]"&|\\]+$'
  [[ $repository =~ $url ]] ||
    problem "PAYDEPLOY_AWS_REPOSITORY is \`$repository\`, not a URL that Argo CD can read from" \
      "set it to a Git repository's URL that starts with https://, or with ssh:// and uses port 443"
  [[ ! $repository =~ ^https://[^/]*@ ]] ||
    problem "PAYDEPLOY_AWS_REPOSITORY contains credentials, which would be committed" \
      "remove them from the URL; store them in Secrets Manager for Argo CD and set PAYDEPLOY_AWS_GIT_SECRET to that secret"
  [[ $git_secret =~ ^[A-Za-z0-9/_+=.@:!-]*$ ]] ||
    problem "PAYDEPLOY_AWS_GIT_SECRET is \`$git_secret\`, not a valid secret name" \
      "set it to the name or ARN of a secret in the hub's region"
  local block
  for block in $addresses; do
    [[ $block =~ ^[0-9]+(\.[0-9]+){3}/(1[6-9]|2[0-9]|3[0-2])$ ]] ||
      problem "PAYDEPLOY_AWS_ADDRESSES contains \`$block\`" "set it to IPv4 blocks between /16 and /32, separated by spaces"
  done
  [ "${PAYDEPLOY_AWS_COST:-}" = accepted ] ||
    problem "the cost is not accepted" \
      "set PAYDEPLOY_AWS_COST=accepted: about 2 US dollars per hour for as long as two regions are up"
  [ -z "${AWS_ENDPOINT_URL:-}" ] ||
    problem "AWS_ENDPOINT_URL is set to \`$AWS_ENDPOINT_URL\`, which is not AWS" \
      "unset it, or use a shell without the sandbox's environment"
}

tools_are_installed() {
  local tool
  for tool in aws cargo curl docker git helm jq kubectl terraform; do
    command -v "$tool" >/dev/null || problem "\`$tool\` is not on PATH" "install it"
  done
}

find_address() {
  [ -z "$addresses" ] || return 0
  if ! addresses=$(curl -4fsS --max-time 20 https://checkip.amazonaws.com 2>&1); then
    problem "failed to determine this machine's public IP address: $addresses" \
      "set PAYDEPLOY_AWS_ADDRESSES to it, for example 192.0.2.10/32"
  fi
  addresses=$addresses/32
}

account_is_the_right_one() {
  local identity
  if ! identity=$(aws sts get-caller-identity --query Account --output text 2>&1); then
    problem "failed to read the caller's identity: $(tail -n 1 <<<"$identity")" \
      "set AWS_PROFILE, run \`aws sso login\`, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
  elif [ "$identity" != "$account" ]; then
    problem "the credentials belong to account $identity, but PAYDEPLOY_AWS_ACCOUNT is $account" \
      "use credentials for $account, or correct PAYDEPLOY_AWS_ACCOUNT"
  fi
}

zone_is_usable() {
  local id
  id=$(aws route53 list-hosted-zones-by-name --dns-name "$zone" --output text \
    --query "HostedZones[?Name=='$zone.' && !Config.PrivateZone].Id") || id=
  if [ "$(wc -w <<<"$id")" != 1 ]; then
    problem "expected one public hosted zone \`$zone\` in account $account, found $(wc -w <<<"$id")" \
      "create it with \`aws route53 create-hosted-zone\` and delegate it, or correct PAYDEPLOY_AWS_ZONE"
    return
  fi
  zone_is_delegated "$id"
  # The journey would take over existing records, and delete them at its end.
  [ -e "$folder/started" ] && return
  local domain taken
  while read -r -u 3 _ _ _ domain; do
    taken=$(aws route53 list-resource-record-sets --hosted-zone-id "$id" --output text \
      --query "ResourceRecordSets[?Name=='$domain.'].Type")
    [ -z "$taken" ] ||
      problem "\`$domain\` has records already (${taken//[[:space:]]/ })" "use another zone, or delete the records if they are unused"
  done 3< <(regions)
}

# Without delegation the certificates would never be issued, while everything else already costs money.
zone_is_delegated() {
  if ! command -v dig >/dev/null; then
    echo "tests/aws: skipping the check that $zone is delegated: \`dig\` is not on PATH" >&2
    return
  fi
  local ours found
  ours=$(aws route53 get-hosted-zone --id "$1" --query 'DelegationSet.NameServers[]' --output text)
  found=$(dig +short NS "$zone" | sed 's/\.$//')
  grep -qxFf <(tr '\t' '\n' <<<"$ours") <<<"$found" ||
    problem "\`$zone\` is not delegated to this account's zone; its name servers are: ${found:-none}" \
      "set these name servers at the registrar or in the parent zone: ${ours//$'\t'/, }"
}

repository_can_be_read_and_written() {
  local hub
  hub=$(regions | awk '$3 == "hub" { print $2 }')
  if [ -n "$git_secret" ]; then
    aws secretsmanager describe-secret --region "$hub" --secret-id "$git_secret" >/dev/null ||
      problem "the secret \`$git_secret\` does not exist in $hub" \
        "create it with Argo CD's credentials, for example '{\"username\": \"bot\", \"password\": \"…\"}', or correct PAYDEPLOY_AWS_GIT_SECRET"
  # Read it without credentials, as Argo CD will.
  elif ! GIT_TERMINAL_PROMPT=0 GIT_SSH_COMMAND='ssh -oBatchMode=yes -oIdentityAgent=none -oIdentityFile=/dev/null' \
    git -c credential.helper= ls-remote --quiet "$repository" >/dev/null; then
    problem "\`$repository\` cannot be read without credentials" \
      "store Argo CD's credentials in a secret in $hub and set PAYDEPLOY_AWS_GIT_SECRET to its name"
  fi
  GIT_TERMINAL_PROMPT=0 git push --quiet --dry-run --force "$repository" "HEAD:refs/heads/$branch" ||
    problem "failed to push the branch \`$branch\` to \`$repository\`" \
      "set up a credential helper or an SSH agent, so that \`git push\` works there without a prompt"
}

container_engine_runs() {
  docker version >/dev/null || problem "the container engine does not respond" "start it: the image is built on this machine"
}
