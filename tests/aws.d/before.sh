# Sourced by tests/aws: what must be so before anything is made.

what_is_asked_is_clear() {
  [[ $account =~ ^[0-9]{12}$ ]] ||
    problem "PAYDEPLOY_AWS_ACCOUNT is \`$account\`, not an account's number" "set it to the 12 digits of the account"
  [[ $zone =~ ^([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}$ ]] ||
    problem "PAYDEPLOY_AWS_ZONE is \`$zone\`, not a zone's name" \
      "set it to the hosted zone's name, in lower case and without the final dot"
  # no sign that would end the text it becomes part of
  local url='^(https://|ssh://[^/]+:443/)[^][:space:]"&|\\]+$'
  [[ $repository =~ $url ]] ||
    problem "PAYDEPLOY_AWS_REPOSITORY is \`$repository\`, not a URL that Argo CD could read from" \
      "set it to a Git repository's URL that starts with https://, or with ssh:// and uses port 443"
  [[ ! $repository =~ ^https://[^/]*@ ]] ||
    problem "PAYDEPLOY_AWS_REPOSITORY holds a login, which would be committed" \
      "leave it out of the URL; for Argo CD put it in Secrets Manager and name it in PAYDEPLOY_AWS_GIT_SECRET"
  [[ $git_secret =~ ^[A-Za-z0-9/_+=.@:!-]*$ ]] ||
    problem "PAYDEPLOY_AWS_GIT_SECRET is \`$git_secret\`, not a secret's name" \
      "set it to the name or ARN of a secret in the hub's region"
  local block
  for block in $addresses; do
    [[ $block =~ ^[0-9]+(\.[0-9]+){3}/(1[6-9]|2[0-9]|3[0-2])$ ]] ||
      problem "PAYDEPLOY_AWS_ADDRESSES has \`$block\`" "give IPv4 blocks between /16 and /32, a space between them"
  done
  [ "${PAYDEPLOY_AWS_COST:-}" = accepted ] ||
    problem "nobody has agreed to pay" \
      "set PAYDEPLOY_AWS_COST=accepted: about 2 US dollars an hour while two regions are up, and more if they stay up"
  [ -z "${AWS_ENDPOINT_URL:-}" ] ||
    problem "AWS_ENDPOINT_URL is set to \`$AWS_ENDPOINT_URL\`, which stands in for AWS" \
      "unset it, or start from a shell without the sandbox's environment"
}

tools_are_there() {
  local tool
  for tool in aws cargo curl docker git helm jq kubectl terraform; do
    command -v "$tool" >/dev/null || problem "\`$tool\` is not on PATH" "install it"
  done
}

address_is_known() {
  [ -z "$addresses" ] || return 0
  if ! addresses=$(curl -4fsS --max-time 20 https://checkip.amazonaws.com 2>&1); then
    problem "the address from which this machine reaches the internet is not known: $addresses" \
      "set PAYDEPLOY_AWS_ADDRESSES to it, as in 192.0.2.10/32"
  fi
  addresses=$addresses/32
}

account_is_the_right_one() {
  local identity
  if ! identity=$(aws sts get-caller-identity --query Account --output text 2>&1); then
    problem "AWS does not say who you are: $(tail -n 1 <<<"$identity")" \
      "set AWS_PROFILE, log in by \`aws sso login\`, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
  elif [ "$identity" != "$account" ]; then
    problem "the credentials are of account $identity, PAYDEPLOY_AWS_ACCOUNT is $account" \
      "use credentials of $account, or correct PAYDEPLOY_AWS_ACCOUNT"
  fi
}

zone_is_ours_to_use() {
  local id
  id=$(aws route53 list-hosted-zones-by-name --dns-name "$zone" --output text \
    --query "HostedZones[?Name=='$zone.' && !Config.PrivateZone].Id") || id=
  if [ "$(wc -w <<<"$id")" != 1 ]; then
    problem "account $account has not one public hosted zone \`$zone\` but $(wc -w <<<"$id")" \
      "create it by \`aws route53 create-hosted-zone\` and delegate it, or correct PAYDEPLOY_AWS_ZONE"
    return
  fi
  zone_is_delegated "$id"
  # names of somebody else's would lead to nobody when the journey ends
  [ -e "$folder/begun" ] && return
  local domain taken
  while read -r -u 3 _ _ _ domain; do
    taken=$(aws route53 list-resource-record-sets --hosted-zone-id "$id" --output text \
      --query "ResourceRecordSets[?Name=='$domain.'].Type")
    [ -z "$taken" ] ||
      problem "\`$domain\` is in use (${taken//[[:space:]]/ })" "use another zone, or delete the records if nobody needs them"
  done 3< <(regions)
}

# without it the certificates would be waited for in vain, at full cost
zone_is_delegated() {
  if ! command -v dig >/dev/null; then
    echo "tests/aws: \`dig\` is not on PATH, so nobody has looked whether $zone is delegated" >&2
    return
  fi
  local ours found
  ours=$(aws route53 get-hosted-zone --id "$1" --query 'DelegationSet.NameServers[]' --output text)
  found=$(dig +short NS "$zone" | sed 's/\.$//')
  grep -qxFf <(tr '\t' '\n' <<<"$ours") <<<"$found" ||
    problem "the world does not look for \`$zone\` in this account but at: ${found:-nobody}" \
      "name these servers at the zone's registrar or parent zone: ${ours//$'\t'/, }"
}

repository_can_be_read_and_written() {
  local hub
  hub=$(regions | awk '$3 == "hub" { print $2 }')
  if [ -n "$git_secret" ]; then
    aws secretsmanager describe-secret --region "$hub" --secret-id "$git_secret" >/dev/null ||
      problem "there is no secret \`$git_secret\` in $hub" \
        "put Argo CD's login there, as in '{\"username\": \"bot\", \"password\": \"…\"}', or correct PAYDEPLOY_AWS_GIT_SECRET"
  # as somebody without any credentials would
  elif ! GIT_TERMINAL_PROMPT=0 GIT_SSH_COMMAND='ssh -oBatchMode=yes -oIdentityAgent=none -oIdentityFile=/dev/null' \
    git -c credential.helper= ls-remote --quiet "$repository" >/dev/null; then
    problem "\`$repository\` cannot be read without credentials" \
      "put Argo CD's login in a secret of $hub and name it in PAYDEPLOY_AWS_GIT_SECRET"
  fi
  GIT_TERMINAL_PROMPT=0 git push --quiet --dry-run --force "$repository" "HEAD:refs/heads/$branch" ||
    problem "you may not push the branch \`$branch\` to \`$repository\`" \
      "let \`git push\` work there without a question (a credential helper, an SSH agent)"
}

engine_runs() {
  docker version >/dev/null || problem "the container engine does not answer" "start it: the image is built on this machine"
}
