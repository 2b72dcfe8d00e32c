# shellcheck shell=bash
# Programs of the Kubernetes world, each built from its own Go module.

# Caches of our own, removed at the end: a full build leaves tens of gigabytes that nobody needs afterwards.
go_cache=$TOOLS/go-cache

go_env() {
  export GOMODCACHE=$go_cache/modules GOCACHE=$go_cache/objects
  export GOFLAGS='-mod=mod -buildvcs=false' GOTOOLCHAIN=local GOWORK=off CGO_ENABLED=0
}

go_clean() {
  [ -d "$go_cache" ] || return 0
  chmod -R u+w "$go_cache"   # Go makes its module cache read-only
  rm -rf "$go_cache"
}

# go_source MODULE@VERSION: prints the folder with the module's source, checked against setup.d/go.sum
# (its own go.sum, which is part of the source, then vouches for everything it builds with).
go_source() (
  mkdir -p "$go_cache/fetch"; cd "$go_cache/fetch"
  printf 'module setup\n' >go.mod; cp "$SETUP/go.sum" go.sum
  go mod download -json "$1" >answer.json || true
  python3 - answer.json <<'PY'
import json, sys
text = open(sys.argv[1]).read()
if not text:
    sys.exit("setup: the Go module was refused: the reason is above")
answer = json.loads(text)
if "Error" in answer:
    sys.exit(f"setup: the Go module could not be fetched: {answer['Error']}")
print(answer["Dir"])
PY
)

# go_build NAME MODULE@VERSION LDFLAGS PACKAGE[=BINARY]...: builds commands of a module into $TOOLS/bin.
# The build runs in a copy of the source: `go install MODULE@VERSION` refuses modules with replace lines.
# A file setup.d/NAME.patch.sh, run in the copy, changes it first.
go_build() (
  name=$1 module=$2 ldflags=$3; shift 3
  work=$go_cache/work/$name; rm -rf "$work"; mkdir -p "$work/out" "$TOOLS/bin"
  source=$(go_source "$module")
  cp -r "$source" "$work/source"; chmod -R u+w "$work/source"; cd "$work/source"
  if [ -f "$SETUP/$name.patch.sh" ]; then bash -eu "$SETUP/$name.patch.sh" "${module#*@}"; fi
  packages=(); for p in "$@"; do packages+=("${p%=*}"); done
  # without debugging information: a tenth of the compile time, a third of the object cache
  nice go build -trimpath -gcflags=all=-dwarf=false -ldflags="-s -w $ldflags" -o "$work/out/" "${packages[@]}"
  for p in "$@"; do
    built=$work/out/$(basename "${p%=*}"); case $p in *=*) target=${p#*=} ;; *) target=$(basename "$built") ;; esac
    mv -f "$built" "$TOOLS/bin/$target"
  done
  cd /; rm -rf "$work"
)
