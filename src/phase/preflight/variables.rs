//! Checks that the stacks declare every variable in the regions' files. Terraform ignores an undeclared variable, so a
//! misspelt name would silently leave the default in effect.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use hcl::{
    Map, Value,
    eval::{Context, Evaluate as _},
};

use crate::{
    config::{Config, Region},
    step::{Error, ErrorExt, Result},
};

/// One error per undeclared variable or unreadable file.
pub fn problems(config: &Config) -> Vec<Error> {
    let declared = match declared(&config.terraform.stacks) {
        Ok(declared) => declared,
        Err(error) => return vec![error],
    };
    let region = |region: &Region| {
        let file = region.var_file.strip_prefix(&config.root).unwrap_or(&region.var_file);
        let given = match given(&region.var_file) {
            Ok(given) => given,
            Err(error) => return vec![error],
        };
        let unknown = given.into_iter().filter(|name| !declared.contains(name));
        unknown.map(|name| undeclared(&name, file, &declared)).collect()
    };
    config.regions.values().flat_map(region).collect()
}

fn undeclared(name: &str, file: &Path, declared: &BTreeSet<String>) -> Error {
    let nearest = declared.iter().map(|known| (distance(name, known), known)).min();
    let hint = match nearest {
        Some((distance, known)) if distance <= 2 => format!("did you mean `{known}`?"),
        _ => "remove it, or declare it in a stack".to_owned(),
    };
    Error::permanent(format!("`{}` sets `{name}`, which no stack declares", file.display())).with_hint(hint)
}

/// The variables that any of the stacks declares.
fn declared(stacks: &Path) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for stack in entries(stacks)?.into_iter().filter(|entry| entry.is_dir()) {
        for file in
            entries(&stack)?.into_iter().filter(|file| file.extension().is_some_and(|end| end == "tf"))
        {
            let body = parse(&file)?;
            let variables = body.into_blocks().filter(|block| block.identifier() == "variable");
            names.extend(variables.filter_map(|block| Some(block.labels().first()?.as_str().to_owned())));
        }
    }
    Ok(names)
}

/// The variables that a file sets.
fn given(file: &Path) -> Result<BTreeSet<String>> {
    Ok(values(file)?.into_iter().map(|(name, _)| name).collect())
}

/// What a file sets: names and values.
pub(super) fn values(file: &Path) -> Result<Map<String, Value>> {
    if file.extension().is_some_and(|end| end == "json") {
        let text = fs::read_to_string(file).doing(format!("read `{}`", file.display()))?;
        return serde_json::from_str(&text).doing(format!("read `{}`", file.display()));
    }
    // A variable file has no functions and no references; Terraform reports an expression that cannot be evaluated.
    let value = |attribute: hcl::Attribute| {
        let value = attribute.expr().evaluate(&Context::new()).unwrap_or_default();
        (attribute.key().to_owned(), value)
    };
    Ok(parse(file)?.into_attributes().map(value).collect())
}

pub(super) fn parse(file: &Path) -> Result<hcl::Body> {
    let text = fs::read_to_string(file).doing(format!("read `{}`", file.display()))?;
    hcl::parse(&text).doing(format!("parse `{}`", file.display()))
}

pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let list = || -> io::Result<Vec<PathBuf>> {
        fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect()
    };
    list().doing(format!("list `{}`", folder.display()))
}

/// The Levenshtein distance: how many letters must be inserted, deleted or replaced.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in other.iter().enumerate() {
            let changed = diagonal + usize::from(a != *b);
            let least = changed.min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = std::mem::replace(&mut row[j + 1], least);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{distance, problems};
    use crate::{config::Region, step::testing};

    #[test]
    fn a_variable_that_no_stack_declares_is_an_error_with_the_likely_name() {
        let dir = tempfile::tempdir().unwrap();
        let (cx, _events) = testing::context(dir.path());
        let mut config = cx.world.config.clone();
        let stack = config.terraform.stacks.join("foundation");
        fs::create_dir_all(&stack).unwrap();
        let text = "variable \"vpc_cidr\" {\n  type = string\n  validation {\n    condition = true\n    \
                    error_message = \"no ${var.vpc_cidr}\"\n  }\n}\n";
        fs::write(stack.join("variables.tf"), text).unwrap();
        let var_file = dir.path().join("spain.tfvars");
        fs::write(&var_file, "vpc_cdir = \"10.0.0.0/16\"\nnodes = { min = 1 }\nvpc_cidr = \"x\"\n").unwrap();
        let region = Region { var_file, ..testing::region() };
        config.regions.insert(region.name.clone(), region);
        let problems = problems(&config);
        let reported: Vec<(String, &str)> =
            problems.iter().map(|error| (error.to_string(), error.hint.as_deref().unwrap())).collect();
        let file = "spain.tfvars";
        assert_eq!(
            reported,
            [
                (
                    format!("`{file}` sets `nodes`, which no stack declares"),
                    "remove it, or declare it in a stack"
                ),
                (format!("`{file}` sets `vpc_cdir`, which no stack declares"), "did you mean `vpc_cidr`?"),
            ]
        );
    }

    #[test]
    fn the_distance_counts_changed_letters() {
        assert_eq!(distance("vpc_cdir", "vpc_cidr"), 2);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("same", "same"), 0);
    }
}
