# shellcheck shell=bash
# The sandbox's Python environment. Its scripts contain its absolute path, so it is created where it stays, under a
# name derived from its key; replacing the symlink `venv` at the end makes it current.

key_python() { echo "$(digest_of "$TESTS/sandbox/requirements.txt") $(readlink -f "$(command -v python3)")"; }
outputs_python() { printf '%s\n' "$TOOLS/venv/bin/python" "$TOOLS/venv/bin/moto_server"; }

install_python() {
  local place
  python3 -c 'import ensurepip, venv' || die "python3 has no venv module" "apt-get install python3-venv"
  place=venvs/$(key_python | sha256sum | cut -c1-12)
  cd "$TOOLS"; rm -rf "$place"
  python3 -m venv "$place"
  "$place/bin/pip" install -q --disable-pip-version-check --no-input -r "$TESTS/sandbox/requirements.txt"
  ln -sfn "$place" venv.new; mv -T venv.new venv
  # A running sandbox may still use an environment that was replaced today.
  find venvs -mindepth 1 -maxdepth 1 ! -path "$place" -mtime +0 -exec rm -rf {} +
}
