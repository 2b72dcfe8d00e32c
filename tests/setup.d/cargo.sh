# shellcheck shell=bash
# What is built from crates.io: this repository, and the checker of its dependencies.

# All crates of the lock file, those of other platforms too: cargo-deny reads them, and never from the network.
key_crates() { echo "$(digest_of "$TESTS/../Cargo.lock") ${CARGO_HOME:-$HOME/.cargo}"; }
outputs_crates() { echo "${CARGO_HOME:-$HOME/.cargo}/registry/cache"; }
install_crates() { cd "$TESTS/.."; cargo fetch --locked; }

# paydeploy and the payment API, with the features and the target folder of the tests, so that these compile only
# what is theirs. It has no key: cargo itself knows what is out of date.
install_workspace() {
  cd "$TESTS/.."
  . tests/environment
  nice cargo build --workspace --locked "${WORKSPACE_FEATURES[@]}"
  nice tests/prebuilt
}

key_cargo-deny() { echo "$CARGO_DENY"; }
outputs_cargo-deny() { echo "$TOOLS/bin/cargo-deny"; }
install_cargo-deny() {
  # A check takes seconds either way, and an unoptimized build takes half the time.
  CARGO_PROFILE_DEV_DEBUG=0 CARGO_INCREMENTAL=0 cargo install cargo-deny --version "$CARGO_DENY" --locked --debug --quiet \
    --root "$TOOLS/work/cargo" --target-dir "$TOOLS/work/cargo/target"
  mv "$TOOLS/work/cargo/bin/cargo-deny" "$TOOLS/bin/cargo-deny"
}
