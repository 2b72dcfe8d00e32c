# shellcheck shell=bash
# What a part is: key_NAME prints what it depends on, outputs_NAME the files that it leaves, install_NAME makes
# them. A part is done when its stamp holds its key and its outputs are there.

PARTS=(debian python ca terraform kubernetes helm argocd external-secrets external-dns coredns metrics-server
  pause sources images charts cargo-deny)

say() { printf 'setup: %s\n' "$*"; }

# die PROBLEM REMEDY
die() { printf 'setup: %s: %s\n' "$1" "$2" >&2; exit 1; }

# digest_of FILE...: one digest over the files' contents and names.
digest_of() { sha256sum "$@" | sed "s#$TESTS/##" | sha256sum | cut -c1-16; }

# call WHAT PART: runs the part's function, or the one that all Go programs share.
call() {
  if declare -F "$1_$2" >/dev/null; then "$1_$2"; else "$1_program" "$2"; fi
}

stamped() {
  local part=$1 key=$2 stamp='' file
  [ -f "$TOOLS/stamps/$part" ] && stamp=$(<"$TOOLS/stamps/$part")
  [ "$stamp" = "$key" ] || return 1
  while IFS= read -r file; do [ -e "$file" ] || return 1; done < <(call outputs "$part")
}

report_missing() {
  local part missing=()
  for part in "${PARTS[@]}"; do stamped "$part" "$(call key "$part" 2>/dev/null)" || missing+=("$part"); done
  if [ ${#missing[@]} != 0 ]; then say "missing in $TOOLS: ${missing[*]}"; exit 1; fi
  say "all is there in $TOOLS"
}

install_parts() {
  local part key started begun=$SECONDS did=
  for part in "${PARTS[@]}"; do
    key=$(call key "$part")
    stamped "$part" "$key" && continue
    [ -n "$did" ] || { clear_leftovers; : >"$TOOLS/setup.log"; did=1; }
    say "$part ..."; started=$SECONDS
    rm -f "$TOOLS/stamps/$part"
    run_part "$part" || {
      tail -n 20 "$TOOLS/setup.log" >&2
      die "part \`$part\` failed" "the whole output is in $TOOLS/setup.log; run tests/setup again to go on from here"
    }
    printf '%s\n' "$key" >"$TOOLS/stamps/$part.new"; mv "$TOOLS/stamps/$part.new" "$TOOLS/stamps/$part"
    say "$part: $((SECONDS - started)) s"
  done
  if [ -n "$did" ]; then say "done in $((SECONDS - begun)) s; tools in $TOOLS"; else say "all is there in $TOOLS"; fi
}

# run_part installs in a process group of its own, so that an interrupt ends all of it, compilers too.
run_part() {
  set -m
  ( set -e; trap registry_stop EXIT; call install "$1" ) >>"$TOOLS/setup.log" 2>&1 </dev/null &
  group=$!
  set +m
  wait "$group" || return
  group=
}

take_lock() {
  exec {lock}>"$TOOLS/.lock"
  flock -n "$lock" && return
  say "waiting for another tests/setup (at most an hour)"
  flock -w 3600 "$lock" || die "another tests/setup holds $TOOLS/.lock" "end it, then try again"
}

clear_leftovers() {
  debian_clean
  go_clean
  rm -rf "$TOOLS/work"
}

# clean_up runs at every end, also a failed one.
clean_up() {
  trap '' INT TERM HUP
  if [ -n "${group:-}" ]; then kill -TERM -- "-$group" 2>/dev/null || true; wait "$group" 2>/dev/null || true; fi
  clear_leftovers
}
