# shellcheck shell=bash
# What is built from crates.io: the judge of the dependencies.

key_cargo-deny() { echo "$CARGO_DENY"; }
outputs_cargo-deny() { echo "$TOOLS/bin/cargo-deny"; }
install_cargo-deny() {
  # a check takes seconds either way: not optimized, it is built in half the time
  CARGO_PROFILE_DEV_DEBUG=0 CARGO_INCREMENTAL=0 cargo install cargo-deny --version "$CARGO_DENY" --locked --debug --quiet \
    --root "$TOOLS/work/cargo" --target-dir "$TOOLS/work/cargo/target"
  mv "$TOOLS/work/cargo/bin/cargo-deny" "$TOOLS/bin/cargo-deny"
}
