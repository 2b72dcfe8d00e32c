# shellcheck shell=bash
# Runs the parts of the set-up. A part NAME consists of
#
#   key_NAME       prints what the part depends on; the stamp of an installed part holds this key
#   outputs_NAME   prints the files that the part leaves behind
#   install_NAME   creates them
#   NEEDS[NAME]    the parts that have to be finished before
#   WEIGHT[NAME]   its CPU seconds on the machine it was last measured on, for the estimate only
#
# A part is installed when its stamp holds its key and its outputs exist. A part without key_NAME runs every time:
# its own tool (cargo) decides what there is to do. Parts whose needs are met run side by side, because most of them
# wait for the network, or have a single-threaded end such as a link, while others compile. Each part runs in a
# process group and writes a log of its own, so that one signal ends all of a part, compilers included.

declare -A NEEDS=(
  [python]=debian [ca]=debian [pause]=debian [workspace]='debian crates' [cargo-deny]=debian
  [sources]=programs [images]='debian python ca programs pause sources' [charts]='python programs sources images'
)
declare -A WEIGHT=(
  [debian]=15 [python]=27 [ca]=1 [terraform]=1 [crates]=15 [programs]=1000 [workspace]=420 [pause]=1 [sources]=3
  [images]=40 [charts]=15 [cargo-deny]=100
)
SANDBOX=(debian programs python ca terraform pause sources images charts)
declare -A GROUPS_OF=(
  [sandbox]="${SANDBOX[*]}"
  [demo]="${SANDBOX[*]} crates workspace"
  [tests]="${SANDBOX[*]} crates cargo-deny"
)

say() { printf 'setup: %s\n' "$*"; }

# die PROBLEM FIX
die() { printf 'setup: %s\n  fix: %s\n' "$1" "$2" >&2; exit 1; }

# digest_of FILE...: one digest over the files' contents and names.
digest_of() { sha256sum "$@" | sed "s#$TESTS/##" | sha256sum | cut -c1-16; }

# installed PART KEY
installed() {
  local part=$1 key=$2 stamp='' file
  declare -F "key_$part" >/dev/null || return 1
  [ -f "$TOOLS/stamps/$part" ] && stamp=$(<"$TOOLS/stamps/$part")
  [ "$stamp" = "$key" ] || return 1
  while IFS= read -r file; do [ -e "$file" ] || return 1; done < <("outputs_$part")
}

key_of() { if declare -F "key_$1" >/dev/null; then "key_$1" 2>/dev/null || true; fi; }

report_missing() {
  local part missing=()
  for part in "${parts[@]}"; do
    declare -F "key_$part" >/dev/null || continue
    installed "$part" "$(key_of "$part")" || missing+=("$part")
  done
  if [ ${#missing[@]} != 0 ]; then say "missing in $TOOLS: ${missing[*]}"; exit 1; fi
  say "complete: $TOOLS"
}

# By part: the process that installs it (its group has the same number), when that was started, whether it is in the
# counts, whether it has been started or skipped. Then the parts that wait for their needs, in their order.
declare -A process=() started=() counted=() passed=()
waiting=() finished=0 total=0 finished_weight=0 total_weight=0 tick=

install_parts() {
  local part
  waiting=("${parts[@]}")
  for part in "${parts[@]}"; do
    if ! installed "$part" "$(key_of "$part")"; then count_in "$part"; fi
  done
  if [ $total = 0 ]; then say "complete: $TOOLS"; return; fi
  mkdir -p "$TOOLS/logs"
  clear_leftovers
  begin=$SECONDS
  while start_ready; [ ${#process[@]} != 0 ]; do wait_for_one; done
  [ ${#waiting[@]} = 0 ] || die "nothing finishes what these parts need: ${waiting[*]}" "correct NEEDS in setup.d/parts.sh"
  say "finished in $((SECONDS - begin)) s: $TOOLS"
}

count_in() {
  # What is compiled already is far less work.
  if [ "$1" = workspace ] && [ -e "${CARGO_TARGET_DIR:-$TOOLS/target}/debug/paydeploy" ]; then WEIGHT[workspace]=30; fi
  counted[$1]=1; total=$((total + 1)); total_weight=$((total_weight + WEIGHT[$1]))
}
count_out() { unset "counted[$1]"; total=$((total - 1)); total_weight=$((total_weight - WEIGHT[$1])); }

# start_ready starts each waiting part whose needs are finished. Only then its key is final: what it is computed from
# may have been installed just now.
start_ready() {
  local part need ready left=() before=${#waiting[@]}
  for part in "${waiting[@]}"; do
    ready=1
    for need in ${NEEDS[$part]:-}; do
      if [ -n "${process[$need]:-}" ] || [[ " ${parts[*]} " = *" $need "* && -z ${passed[$need]:-} ]]; then ready=; fi
    done
    if [ -z "$ready" ]; then left+=("$part"); continue; fi
    passed[$part]=1
    if ! installed "$part" "$(key_of "$part")"; then
      [ -n "${counted[$part]:-}" ] || count_in "$part"
      start_part "$part"
    elif [ -n "${counted[$part]:-}" ]; then
      count_out "$part"
    fi
  done
  waiting=("${left[@]}")
  # A part that turned out to be installed starts nothing, but others may have waited for it.
  [ ${#waiting[@]} = 0 ] || [ ${#waiting[@]} = "$before" ] || start_ready
}

start_part() {
  local part=$1
  rm -f "$TOOLS/stamps/$part"
  # Job control puts the background job into a process group of its own.
  set -m
  ( set -e; set +m; trap registry_stop EXIT; "install_$part" ) >"$TOOLS/logs/$part.log" 2>&1 </dev/null &
  process[$part]=$!
  set +m
  started[$part]=$SECONDS
  [ -n "$terminal" ] || say "$(count) $part: started"
}

# wait_for_one returns when a part has ended. On a terminal it also updates the status line every second, for
# which a sleep is one of the processes that it waits for.
wait_for_one() {
  local part ended= status=0
  if [ -n "$terminal" ] && [ -z "$tick" ]; then show_status; sleep 1 & tick=$!; fi
  wait -n -p ended "${process[@]}" ${tick:+"$tick"} || status=$?
  if [ -n "$tick" ] && [ "$ended" = "$tick" ]; then tick=; return; fi
  # A part that a signal killed before this wait is not named by it: bash has forgotten the job.
  for part in "${!process[@]}"; do
    if [ "${process[$part]}" = "$ended" ] || { [ -z "$ended" ] && ! kill -0 "${process[$part]}" 2>/dev/null; }; then break; fi
  done
  unset "process[$part]"
  [ -z "$terminal" ] || printf '\r\033[K'
  if [ $status != 0 ]; then
    tail -n 20 "$TOOLS/logs/$part.log" >&2
    die "failed to install \`$part\` (the whole log is $TOOLS/logs/$part.log)" \
      "correct what the log reports and run tests/setup again: it continues with this part"
  fi
  if declare -F "key_$part" >/dev/null; then
    "key_$part" >"$TOOLS/stamps/$part.new" || die "failed to compute the key of \`$part\`" "see the output above"
    mv "$TOOLS/stamps/$part.new" "$TOOLS/stamps/$part"
  fi
  finished=$((finished + 1)); finished_weight=$((finished_weight + WEIGHT[$part]))
  say "$(count) $part: finished in $((SECONDS - started[$part])) s$(remaining)"
}

count() { printf '[%*d/%d]' ${#total} $finished $total; }

# done_weight prints the weight of the finished work: a part under way counts by the lines of its log where those
# tell how far it is, and otherwise not at all.
done_weight() {
  local part sum=$finished_weight lines
  for part in "${!process[@]}"; do
    [ -n "${STEPS[$part]:-}" ] || continue
    lines=$(grep -cE "${STEPS[$part]#* }" "$TOOLS/logs/$part.log" || true)
    lines=$((lines * WEIGHT[$part] / ${STEPS[$part]%% *}))
    sum=$((sum + (lines < WEIGHT[$part] ? lines : WEIGHT[$part])))
  done
  echo "$sum"
}

# Parts that log a line per compiled package: how many lines there will be, and what such a line looks like.
declare -A STEPS=([programs]='4100 ^[a-z0-9.-]+(/|$)' [workspace]='440 ^ *Compiling ')

# remaining prints an estimate: the weight that is left at the speed so far. The first minute has no such speed yet, so
# the one of the machine on which the weights were measured (two CPU seconds a second) takes part in the average.
remaining() {
  local weight elapsed=$((SECONDS - begin)) seconds
  [ ${#process[@]} != 0 ] || [ ${#waiting[@]} != 0 ] || return 0
  weight=$(done_weight)
  seconds=$(((total_weight - weight) * (elapsed + 30) / (weight + 60)))
  if [ $seconds -ge 90 ]; then echo ", about $(((seconds + 30) / 60)) min remaining"; else echo ", about $seconds s remaining"; fi
}

show_status() {
  local text
  text="setup: $(count) $(running)$(remaining)"
  printf '\r\033[K%s' "${text:0:$(tput cols 2>/dev/null || echo 80)}"
}

# The parts under way, the ones that were started first at the front.
running() {
  local part
  for part in "${!process[@]}"; do echo "${started[$part]} $part"; done | sort -n | cut -d' ' -f2 | paste -sd' '
}

take_lock() {
  exec {lock}>"$TOOLS/.lock"
  flock -n "$lock" && return
  say "waiting for another tests/setup (at most an hour)"
  flock -w 3600 "$lock" || die "another tests/setup holds $TOOLS/.lock" "wait until it has ended, or end it"
}

clear_leftovers() {
  debian_clean
  rm -rf "$TOOLS/work"
}

# clean_up runs at every end, including failures and interrupts. What Go has compiled so far is kept then, so that
# the next run continues there.
clean_up() {
  trap '' INT TERM HUP
  local part
  [ -z "$tick" ] || kill "$tick" 2>/dev/null || true
  for part in "${!process[@]}"; do kill -TERM -- "-${process[$part]}" 2>/dev/null || true; done
  for part in "${!process[@]}"; do wait "${process[$part]}" 2>/dev/null || true; done
  clear_leftovers
  if installed programs "$(key_of programs)" && installed sources "$(key_of sources)"; then go_clean; fi
}
