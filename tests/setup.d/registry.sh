# shellcheck shell=bash
# A registry on loopback over the tool folder's storage, for as long as setup publishes into it.

registry_pid=

# registry_start sets $registry to its HOST:PORT.
registry_start() {
  local port config=$TOOLS/work/registry.yml
  mkdir -p "$TOOLS/work" "$TOOLS/registry"
  port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  registry=127.0.0.1:$port
  cat >"$config" <<YML
version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: $TOOLS/registry}
  delete: {enabled: true}
http: {addr: $registry}
YML
  # ends with this shell, however that ends, and never holds the lock
  setpriv --pdeathsig TERM docker-registry serve "$config" >"$TOOLS/work/registry.log" 2>&1 {lock}>&- &
  registry_pid=$!
  curl -fsS -o /dev/null --retry 40 --retry-connrefused --retry-delay 1 --retry-max-time 30 "http://$registry/v2/"
}

registry_stop() {
  [ -n "$registry_pid" ] || return 0
  kill "$registry_pid" 2>/dev/null || true
  wait "$registry_pid" 2>/dev/null || true
  registry_pid=
}

# registry_sweep drops what no tag names any more. Only while no registry runs.
registry_sweep() {
  docker-registry garbage-collect --delete-untagged "$TOOLS/work/registry.yml" >/dev/null
}
