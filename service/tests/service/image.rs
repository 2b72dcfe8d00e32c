//! The image's recipe. Building it needs a registry, so only the text is tested.

const RECIPE: &str = include_str!("../../Dockerfile");
const TOOLCHAIN: &str = include_str!("../../../rust-toolchain.toml");

#[test]
fn every_base_image_is_named_by_digest() {
    let bases: Vec<&str> = RECIPE.lines().filter_map(|line| line.strip_prefix("FROM ")).collect();
    assert_eq!(bases, ["${RUST_IMAGE} AS build", "scratch"]);
    let image = RECIPE.lines().find_map(|line| line.strip_prefix("ARG RUST_IMAGE=")).unwrap();
    let (name, digest) = image.split_once("@sha256:").expect("RUST_IMAGE has no digest");
    assert!(digest.len() == 64 && digest.chars().all(|character| character.is_ascii_hexdigit()), "{digest}");
    // The tag is only for people. It names the toolchain with which everything is tested.
    let version = name.strip_prefix("rust:").and_then(|tag| tag.split('-').next()).unwrap();
    assert!(TOOLCHAIN.contains(&format!("\"{version}")), "{name}: {TOOLCHAIN}");
}

#[test]
fn the_image_runs_as_an_unprivileged_user_from_nothing_but_the_program() {
    let last = RECIPE.rsplit("\nFROM ").next().unwrap();
    let copied: Vec<&str> = last.lines().filter(|line| line.starts_with("COPY ")).collect();
    assert_eq!(copied, ["COPY --from=build /payment-api /payment-api"]);
    assert!(
        last.contains("\nUSER 65534:65534\n") && last.contains("\nENTRYPOINT [\"/payment-api\"]\n"),
        "{last}"
    );
}
