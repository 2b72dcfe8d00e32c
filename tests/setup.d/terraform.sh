# shellcheck shell=bash
# Terraform's CLI configuration for the tests: the AWS provider comes from a mirror on this machine if there is one, so
# that hundreds of `terraform init` need no network, and from the registry otherwise.

provider=registry.terraform.io/hashicorp/aws

terraform_version() {
  CHECKPOINT_DISABLE=1 TF_CLI_CONFIG_FILE=/dev/null terraform version -json |
    sed -n 's/.*"terraform_version": *"\([^"]*\)".*/\1/p'
}

# configured_mirrors prints the filesystem mirrors of the user's own CLI configuration.
configured_mirrors() {
  local file
  for file in "${TF_CLI_CONFIG_FILE:-}" "$HOME/.terraformrc"; do
    [ -f "$file" ] && [ "$file" != "$TOOLS/terraform.rc" ] || continue
    sed -n '/filesystem_mirror/,/}/s/.*path *= *"\([^"]*\)".*/\1/p' "$file"
  done
}

# implied_mirrors prints the folders that Terraform searches by default.
implied_mirrors() {
  printf '%s\n' "$HOME/.terraform.d/plugins" "${XDG_DATA_HOME:-$HOME/.local/share}/terraform/plugins"
  tr ':' '\n' <<<"${XDG_DATA_DIRS:-/usr/local/share:/usr/share}" | sed 's#$#/terraform/plugins#'
}

find_mirror() {
  local folder
  if [ -n "${PAYDEPLOY_TF_MIRROR:-}" ]; then
    [ -d "$PAYDEPLOY_TF_MIRROR/$provider" ] ||
      die "PAYDEPLOY_TF_MIRROR is \`$PAYDEPLOY_TF_MIRROR\`, which does not contain $provider" \
        "set it to the top folder of a mirror, or unset it"
    echo "$PAYDEPLOY_TF_MIRROR"; return
  fi
  while read -r folder; do
    if [ -d "$folder/$provider" ]; then echo "$folder"; return; fi
  done < <(configured_mirrors; implied_mirrors)
  folder=$(find /opt /srv /var/lib /usr/share /usr/local -maxdepth 5 -type d -path "*/$provider" -print -quit 2>/dev/null)
  echo "${folder%"/$provider"}"
}

key_terraform() { echo "1 ${PAYDEPLOY_TF_MIRROR:-}"; }

# The mirror is an output too: when it is deleted, the next run searches again.
outputs_terraform() {
  echo "$TOOLS/terraform.rc"
  [ ! -f "$TOOLS/terraform.rc" ] || sed -n 's/^ *path *= *"\(.*\)"$/\1/p' "$TOOLS/terraform.rc"
}

install_terraform() {
  local mirror; mirror=$(find_mirror)
  {
    echo 'disable_checkpoint = true'
    echo 'provider_installation {'
    if [ -n "$mirror" ]; then
      printf '  filesystem_mirror {\n    path    = "%s"\n    include = ["%s"]\n  }\n' "$mirror" "$provider"
      printf '  direct {\n    exclude = ["%s"]\n  }\n' "$provider"
    else
      echo '  direct {}'
    fi
    echo '}'
  } >"$TOOLS/terraform.rc.new"
  mv "$TOOLS/terraform.rc.new" "$TOOLS/terraform.rc"
}
