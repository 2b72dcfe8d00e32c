# shellcheck shell=bash
# The programs of the Kubernetes world, compiled from the Go module proxy.
#
# All are built in one Go module (setup.d/go), so that each of their dependencies has one version for all of them and
# is compiled once: apart they would compile 10,000 packages, together they compile 4,200. One `go build` builds them
# all, because a link uses one core and the next program's compilation fills the other.

# Caches of our own, removed at the end: a full build leaves ten gigabytes that nothing needs afterwards.
go_cache=$TOOLS/go-cache

go_env() {
  export GOMODCACHE=$go_cache/modules GOCACHE=$go_cache/objects
  export GOFLAGS='-mod=readonly -buildvcs=false' GOTOOLCHAIN=local GOWORK=off CGO_ENABLED=0
}

go_clean() {
  [ -d "$go_cache" ] || return 0
  chmod -R u+w "$go_cache"   # Go makes its module cache read-only.
  rm -rf "$go_cache"
}

# go_source MODULE@VERSION: prints the folder of the module's source, verified against setup.d/go/go.sum.
go_source() (
  mkdir -p "$go_cache/fetch"; cd "$go_cache/fetch"
  printf 'module fetch\n' >go.mod; cp "$SETUP/go/go.sum" go.sum
  GOFLAGS=-mod=mod go mod download -json "$1" >answer.json || true
  python3 - answer.json <<'PY'
import json, sys
text = open(sys.argv[1]).read()
if not text:
    sys.exit("setup: failed to fetch the Go module: see above")
answer = json.loads(text)
if "Error" in answer:
    sys.exit(f"setup: failed to fetch the Go module: {answer['Error']}")
print(answer["Dir"])
PY
)

# go_workspace FOLDER: lays out setup.d/go in FOLDER, with patched copies of the modules that go.mod replaces by
# ./patched/NAME.
go_workspace() {
  local to=$1 name module source
  rm -rf "$to"; mkdir -p "$to/patched"
  cp -r "$SETUP/go/." "$to"
  for name in "${PATCHED[@]}"; do
    module=${MODULES[$name]}
    source=$(go_source "$module")
    cp -r "$source" "$to/patched/$name"; chmod -R u+w "$to/patched/$name"
    (cd "$to/patched/$name"; bash -eu "$SETUP/go/$name.patch.sh")
  done
}
