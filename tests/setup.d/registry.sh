# shellcheck shell=bash
# A registry on the loopback interface with the tool folder's storage, running only while set-up publishes to it.

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
  # It gets a signal when this shell ends, however that happens, and does not inherit the lock.
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

# registry_sweep deletes what no tag refers to any more. No registry may be running meanwhile.
registry_sweep() {
  docker-registry garbage-collect --delete-untagged "$TOOLS/work/registry.yml" >/dev/null
}
