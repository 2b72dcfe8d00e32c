//! The tour of `docs/payment-api.md`: every command runs, and prints what the page says.

use std::process::Command;

use regex_lite::Regex;
use serde_json::Value;

use crate::support::{Client, World, eventually};

const PAGE: &str = include_str!("../../../../docs/payment-api.md");

/// The page's commands with the kind and the text of the block after each.
fn commands() -> Vec<(&'static str, &'static str, &'static str)> {
    let blocks = PAGE.split("```sh\n").skip(1);
    let parse = |block: &'static str| {
        let (command, rest) = block.split_once("```").unwrap();
        let (kind, rest) = rest.trim_start().strip_prefix("```").unwrap().split_once('\n').unwrap();
        (command, kind, rest.split("```").next().unwrap())
    };
    blocks.map(parse).collect()
}

/// `text` without what differs between two runs.
fn comparable(kind: &str, text: &str) -> String {
    let text = if kind == "json" {
        serde_json::from_str::<Value>(text).unwrap_or_else(|_| panic!("not JSON: {text}")).to_string()
    } else {
        text.trim().to_owned()
    };
    [
        ("[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}", "ID"),
        ("20[0-9-]{8}T[0-9:.]+Z", "TIME"),
        ("sk_[0-9A-Za-z_-]{43}", "KEY"),
    ]
    .iter()
    .fold(text, |text, (pattern, name)| Regex::new(pattern).unwrap().replace_all(&text, *name).into_owned())
}

#[test]
fn every_command_of_the_tour_prints_what_the_page_says() {
    let world = World::new();
    let service = world.start().ready();
    let program = env!("CARGO_BIN_EXE_payment-api");
    let folder = tempfile::tempdir().unwrap();
    let mut key = String::new();
    let commands = commands();
    assert!(commands.len() > 4, "{commands:?}");
    for (command, kind, expected) in commands {
        let output = Command::new("bash")
            .args(["-euc", &format!("payment-api() {{ \"{program}\" \"$@\"; }}\n{command}")])
            .envs(world.environment(&[]))
            .envs([("API", format!("http://127.0.0.1:{}", service.port)), ("KEY", key.clone())])
            .current_dir(&folder)
            .output()
            .unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        let printed = String::from_utf8(output.stdout).unwrap();
        assert_eq!(comparable(kind, &printed), comparable(kind, expected), "{command}");
        if let Some((_, new)) = printed.trim_end().split_once(" sk_") {
            key = format!("sk_{new}");
            let client = Client { port: service.port, key: key.clone() };
            eventually("the API key is known", || (client.get("/v1/payments").status == 200).then_some(()));
        }
    }
}
