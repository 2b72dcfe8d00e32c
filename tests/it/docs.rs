//! The documentation is correct where a program can check it: links, paths, exit codes, commands, and the tests that
//! `docs/acceptance.md`, `docs/security.md` and `docs/failure-modes.md` name.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use crate::support::{paydeploy, stdout};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every file below a folder whose name ends in one of these, as paths relative to the repository.
fn files(folder: &str, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            // Build output, and what terraform, paydeploy and git leave in a checkout.
            if path.is_dir()
                && !path.is_symlink()
                && name != "target"
                && (!name.starts_with('.') || name == ".github")
            {
                folders.push(path);
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                found.push(path.strip_prefix(root()).unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

/// The lines of a page outside fenced code.
fn prose(page: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    page.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}

/// The text between backticks of a line.
fn code(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// The cells of a table row.
fn cells(line: &str) -> Vec<&str> {
    line.trim().trim_matches('|').split(" | ").map(str::trim).collect()
}

/// The rows of the first table below a heading, without its head.
fn table<'a>(page: &'a str, heading: &str) -> Vec<Vec<&'a str>> {
    let below =
        page.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no heading `{heading}`")).1;
    let rows =
        below.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    rows.skip(2).map(cells).collect()
}

/// The anchors that a forge gives to a page's headings.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings = prose(page).filter(|line| line.starts_with('#'));
    headings
        .map(|heading| {
            let text = heading.trim_start_matches('#').trim().to_lowercase();
            let kept = text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

/// The targets of a page's links: `[text](target)`.
fn links(page: &str) -> Vec<&str> {
    let lines = prose(page).flat_map(|line| line.split("](").skip(1));
    lines.filter_map(|rest| Some(rest.split_once(')')?.0)).collect()
}

#[test]
fn every_relative_link_and_anchor_resolves() {
    let mut broken = Vec::new();
    let pages = files(".", &[".md"]);
    assert!(pages.len() > 20, "{pages:?}");
    for page in pages {
        let text = read(page.to_str().unwrap());
        for link in
            links(&text).into_iter().filter(|link| !link.contains("://") && !link.starts_with("mailto:"))
        {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target =
                if file.is_empty() { root().join(&page) } else { root().join(&page).with_file_name(file) };
            let resolves = target.exists()
                && (anchor.is_empty() || anchors(&fs::read_to_string(&target).unwrap()).contains(anchor));
            if !resolves {
                broken.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// The repository's folders, and a step's id, which looks like a path.
const FOLDERS: [&str; 8] =
    ["src/", "service/", "terraform/", "charts/", "gitops/", "tests/", "docs/", "examples/"];
const STEP: &str = "terraform/spain/";

#[test]
fn every_path_that_a_page_names_exists() {
    let sources = [files("src", &[".rs"]), files("service/src", &[".rs"])].concat();
    // `docs/acceptance.md` names a source file by the end of its path.
    let exists =
        |path: &str| root().join(path).exists() || sources.iter().any(|source| source.ends_with(path));
    let mut missing = Vec::new();
    let top = ["README.md", "CONTRIBUTING.md", "SECURITY.md"].map(PathBuf::from);
    for page in files("docs", &[".md"]).into_iter().chain(top) {
        let text = read(page.to_str().unwrap());
        let words = prose(&text).flat_map(code).flat_map(str::split_whitespace);
        let paths =
            words.filter(|word| FOLDERS.iter().any(|top| word.starts_with(top)) && !word.starts_with(STEP));
        for path in paths.filter(|path| !is_placeholder(path) && !exists(path)) {
            missing.push(format!("{}: {path}", page.display()));
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

/// Whether a path has a part that the reader chooses: `NAME`, `NNNN`, `*`, `…`, or the region `peru`.
fn is_placeholder(path: &str) -> bool {
    let capitals =
        |part: &str| part.len() > 2 && part != "README" && part.chars().all(|c| c.is_ascii_uppercase());
    path.contains(['*', '…']) || path.contains("peru") || path.split(['/', '.', '-']).any(capitals)
}

#[test]
fn the_readme_and_the_help_list_the_exit_codes_of_the_program() {
    let source = read("src/run/exit.rs");
    let codes = source.split_once("pub enum Exit {").unwrap().1.split_once('}').unwrap().0;
    let codes: BTreeSet<&str> = codes
        .lines()
        .filter_map(|line| Some(line.trim().trim_end_matches(',').split_once(" = ")?.1))
        .collect();
    assert!(codes.len() > 5, "{codes:?}");
    let readme = read("README.md");
    let listed: BTreeMap<String, String> = table(&readme, "## Exit codes")
        .into_iter()
        .map(|row| (row[0].to_owned(), row[1].replace('`', "")))
        .collect();
    assert_eq!(listed.keys().map(String::as_str).collect::<BTreeSet<_>>(), codes);
    let help = stdout(&paydeploy().arg("--help").assert().success());
    let help: BTreeMap<String, String> = help
        .split_once("Exit codes:\n")
        .unwrap()
        .1
        .lines()
        .map(|line| line.trim().split_once("  ").unwrap())
        .map(|(code, meaning)| (code.to_owned(), meaning.to_owned()))
        .collect();
    assert_eq!(listed, help, "README.md and the help describe the codes differently");
}

/// The names of the subcommands that a help page lists.
fn subcommands(help: &str) -> BTreeSet<String> {
    let list = help.split_once("Commands:\n").unwrap().1;
    let names = list.lines().take_while(|line| !line.is_empty()).filter(|line| !line.starts_with("     "));
    names
        .filter_map(|line| Some(line.split_whitespace().next()?.to_owned()))
        .filter(|name| name != "help")
        .collect()
}

#[test]
fn the_readme_lists_every_command_with_flags_that_it_has() {
    let readme = read("README.md");
    let rows = table(&readme, "## Commands");
    let listed: BTreeSet<String> =
        rows.iter().map(|row| row[0].trim_matches('`').split(' ').next().unwrap().to_owned()).collect();
    let help = stdout(&paydeploy().arg("--help").assert().success());
    assert_eq!(listed, subcommands(&help));
    for row in rows {
        let words = row[0]
            .trim_matches('`')
            .split(' ')
            .take_while(|word| word.starts_with(|c: char| c.is_lowercase()));
        let help = stdout(&paydeploy().args(words).arg("--help").assert().success());
        for flag in
            code(row[1]).filter_map(|text| text.split(' ').next()).filter(|text| text.starts_with("--"))
        {
            assert!(help.contains(flag), "`{}` has no `{flag}`", row[0]);
        }
    }
}

#[test]
fn each_of_the_makefiles_targets_is_mapped_to_a_command_that_exists() {
    let readme = read("README.md");
    let rows = table(&readme, "### Coming from the Makefile");
    let ids: Vec<&str> = rows.iter().map(|row| row[0]).collect();
    let wanted: Vec<String> = (3..=30).map(|number| format!("M{number:02}")).collect();
    assert_eq!(ids, wanted);
    for row in rows {
        let calls: Vec<&str> = code(row[2]).filter_map(|text| text.strip_prefix("paydeploy ")).collect();
        assert!(!calls.is_empty(), "{row:?}");
        for call in calls {
            // With `--help` at its end a call is parsed and not run.
            paydeploy().args(call.split(' ')).arg("--help").assert().code(0);
        }
    }
}

#[test]
fn every_adr_has_the_usual_headings_and_is_listed() {
    let (readme, index) = (read("README.md"), read("docs/README.md"));
    let adrs = files("docs/adr", &[".md"]);
    for (number, adr) in adrs.iter().enumerate() {
        let (text, name) = (read(adr.to_str().unwrap()), adr.file_name().unwrap().to_str().unwrap());
        assert!(text.starts_with(&format!("# {}. ", number + 1)), "{name}: numbers have no gap");
        let headings: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        let positions = ["Status", "Context", "Decision", "Consequences", "Alternatives considered"]
            .map(|wanted| headings.iter().position(|heading| *heading == wanted));
        assert!(positions.iter().all(Option::is_some) && positions.is_sorted(), "{name}: {headings:?}");
        assert!(readme.contains(&format!("docs/adr/{name}")), "README lists {name}");
        assert!(index.contains(&format!("adr/{name}")), "docs/README.md lists {name}");
    }
}

/// The names of all tests, and of the titles of the journey's sections.
fn tests() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let sources =
        ["src", "service", "tests/it", "terraform"].map(|folder| files(folder, &[".rs", ".tftest.hcl"]));
    for line in sources.concat().iter().flat_map(|path| {
        let text = read(path.to_str().unwrap());
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    }) {
        let line = line.trim();
        let function =
            line.split_once("fn ").and_then(|(_, rest)| rest.split_once('(')).map(|(name, _)| name);
        let run = line.strip_prefix("run \"").and_then(|rest| rest.split_once('"')).map(|(name, _)| name);
        let section =
            line.strip_prefix("section(\"").and_then(|rest| rest.rsplit_once("\")")).map(|(name, _)| name);
        names.extend([function, run, section].into_iter().flatten().map(str::to_owned));
    }
    // Of the sandbox's own tests a page names the file.
    let sandbox = files("tests/sandbox", &[".py"]).into_iter();
    names.extend(sandbox.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())));
    names
}

/// What a row of the acceptance table names as a test: the last word of `it FILE::NAME`, `PATH NAME` and
/// `tftest FOLDER RUN`, or the title in `journey "title"`. `…` stands for the rest of a name. `None` if the
/// reference is a file or a folder.
fn named(reference: &str) -> Option<String> {
    let name = match reference.split_once('"') {
        Some((_, title)) => title.trim_end_matches('"'),
        None => reference.rsplit([' ', ':']).next()?,
    };
    let is_name = reference.contains('"')
        || name.contains('_')
            && name
                .trim_end_matches('…')
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    is_name.then(|| name.to_owned())
}

/// The folder of Terraform tests, or the file of `FILE::*`, that a reference names.
fn place(reference: &str) -> Option<PathBuf> {
    let folder =
        reference.split(' ').find(|word| word.starts_with("modules/") || word.starts_with("stacks/"));
    if let Some(folder) = folder.filter(|folder| !folder.contains('*')) {
        return Some(root().join("terraform").join(folder).join("tests"));
    }
    let (folder, modules) = reference.strip_suffix("::*")?.split_once(' ')?;
    let folder = if folder == "service" { "service/tests/service" } else { "tests/it" };
    let path = root().join(folder).join(modules.replace("::", "/"));
    Some(if path.is_dir() { path } else { path.with_extension("rs") })
}

#[test]
fn every_test_that_the_acceptance_table_names_exists() {
    let tests = tests();
    let exists = |name: &str| match name.strip_suffix('…') {
        Some(start) => tests.iter().any(|test| test.starts_with(start)),
        None => tests.contains(name),
    };
    let (mut checked, mut missing) = (0, Vec::new());
    for page in ["docs/acceptance.md", "docs/security.md", "docs/failure-modes.md"] {
        let text = read(page);
        for line in text.lines().filter(|line| line.starts_with('|')) {
            // What follows "not:" is what no test covers.
            let by = cells(line).last().unwrap().split("not: ").next().unwrap();
            for reference in code(by) {
                checked += 1;
                let name = named(reference).filter(|_| !reference.contains('/') || reference.contains(' '));
                let absent =
                    name.is_some_and(|name| !exists(&name)) || !place(reference).is_none_or(|at| at.exists());
                if absent {
                    missing.push(format!("{page}: {}: `{reference}`", cells(line)[0]));
                }
            }
        }
    }
    assert!(checked > 100, "only {checked} names were found");
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn every_failure_mode_has_one_row_whose_state_agrees_with_its_text() {
    let text = read("docs/failure-modes.md");
    let rows = text.lines().filter(|line| line.starts_with('|')).map(cells);
    let rows: Vec<_> = rows.filter(|row| row[0].parse::<u32>().is_ok()).collect();
    let numbers: Vec<u32> = rows.iter().map(|row| row[0].parse().unwrap()).collect();
    assert_eq!(numbers, (1..=43).collect::<Vec<u32>>());
    for row in rows {
        let [number, _, handled, state, by] = row[..] else { panic!("{row:?}") };
        let tests = code(by.split("not: ").next().unwrap()).count();
        let agrees = match state {
            "`proved`" | "`proved (journey)`" => tests > 0 && !handled.contains("Open:"),
            "`built`" => !handled.contains("Open:"),
            "`open`" => handled.contains("Open:"),
            _ => false,
        };
        assert!(agrees, "row {number} has the state {state}");
    }
}

#[test]
fn the_acceptance_tables_summary_counts_its_rows() {
    let text = read("docs/acceptance.md");
    let states = ["proved", "proved (journey)", "built", "replaced", "open"];
    let mut counts: BTreeMap<String, BTreeMap<&str, usize>> = BTreeMap::new();
    for row in text.lines().filter(|line| line.starts_with('|')).map(cells) {
        let is_row = row.len() == 4 && row[0].len() >= 2 && row[0].as_bytes()[1].is_ascii_digit();
        if is_row {
            let state = states.iter().find(|state| **state == row[2]).unwrap_or_else(|| panic!("{row:?}"));
            *counts.entry(row[0][..1].to_owned()).or_default().entry(state).or_default() += 1;
        }
    }
    for row in text
        .lines()
        .skip_while(|line| !line.starts_with("| rows"))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
    {
        let row = cells(row);
        let of = |state: &str| -> usize {
            let groups = counts.iter().filter(|(group, _)| row[0] == "all" || row[0] == group.as_str());
            groups.filter_map(|(_, states)| states.get(state)).sum()
        };
        let mut wanted: Vec<usize> = states.iter().map(|state| of(state)).collect();
        wanted.push(wanted.iter().sum());
        let listed: Vec<usize> = row[1..].iter().map(|cell| cell.parse().unwrap()).collect();
        assert_eq!(listed, wanted, "row {}", row[0]);
    }
}

/// README shows parts of the transcripts that the journey compares; `…` stands for lines that are left out.
#[test]
fn readmes_samples_are_recorded_output() {
    let readme = read("README.md");
    let mut names = Vec::new();
    for part in readme.split("<!-- transcript: ").skip(1) {
        let (name, rest) = part.split_once(" -->").unwrap();
        let (shown, _) = rest.split_once("<!-- end -->").expect("each transcript has an end");
        names.push(name);
        let snapshot = read(&format!("tests/it/snapshots/transcripts/{name}.snap"));
        let mut recorded = snapshot.lines();
        for line in shown.lines().filter(|line| !line.is_empty() && !line.starts_with("```") && *line != "…")
        {
            assert!(
                recorded.any(|other| other == line),
                "README's `{name}` has a line that `{name}.snap` lacks: {line}"
            );
        }
    }
    assert_eq!(names, ["up", "failure", "status"]);
}
