# shellcheck shell=bash
# What has to be installed before tests/setup.

# at_least MINIMUM ACTUAL
at_least() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n1)" = "$1" ]; }

require_prerequisites() {
  [ "$(id -u)" = 0 ] || die "the sandbox creates network namespaces and mounts" "run tests/setup as root"
  command -v apt-get >/dev/null || die "apt-get is missing" "use Debian 12, or a machine like it"
  command -v cargo >/dev/null || die "cargo is missing" "install Rust from https://rustup.rs"
  local version
  command -v python3 >/dev/null || die "python3 is missing" "run apt-get install python3 python3-venv"
  version=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  at_least "$MINIMUM_PYTHON" "$version" ||
    die "python3 is $version" "put Python $MINIMUM_PYTHON or later first on PATH"
  command -v go >/dev/null || die "go is missing" "install Go $MINIMUM_GO or later from https://go.dev/dl and put it on PATH"
  version=$(GOTOOLCHAIN=local go env GOVERSION); version=${version#go}
  at_least "$MINIMUM_GO" "$version" ||
    die "go is $version" "install Go $MINIMUM_GO or later from https://go.dev/dl and put it first on PATH"
  command -v terraform >/dev/null || die "terraform is missing" "install Terraform $MINIMUM_TERRAFORM or later and put it on PATH"
  version=$(terraform_version)
  at_least "$MINIMUM_TERRAFORM" "$version" ||
    die "terraform is $version" "install Terraform $MINIMUM_TERRAFORM or later and put it first on PATH"
}
