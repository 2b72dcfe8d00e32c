# shellcheck shell=bash
# Debian's packages. They must not start their services: the sandbox starts its own, in its own namespaces.

policy=/usr/sbin/policy-rc.d
policy_mark='# created by tests/setup'

key_debian() { echo "${DEBIAN_PACKAGES[*]}"; }
outputs_debian() { printf '%s\n' /usr/bin/containerd /usr/bin/docker-registry /usr/bin/etcd /usr/sbin/pgbouncer /usr/bin/redis-server; }

install_debian() {
  local missing=() package
  for package in "${DEBIAN_PACKAGES[@]}"; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
  done
  [ ${#missing[@]} = 0 ] && return
  [ -e "$policy" ] || { printf '#!/bin/sh\n%s\nexit 101\n' "$policy_mark" >"$policy"; chmod 755 "$policy"; }
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -q
  apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=300 "${missing[@]}"
}

debian_clean() {
  if grep -qs "$policy_mark" "$policy"; then rm -f "$policy"; fi
}
