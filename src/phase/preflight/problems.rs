//! Combines several problems into one error.

use crate::step::{Class, Error};

/// One error that lists all problems, each with its fix; `None` if there are no problems.
pub fn together(mut problems: Vec<Error>) -> Option<Error> {
    if problems.len() < 2 {
        return problems.pop();
    }
    // A retry helps only if all of them are transient.
    let transient = problems.iter().all(|problem| problem.class == Class::Transient);
    let class = if transient { Class::Transient } else { Class::Permanent };
    let lines: Vec<String> = problems
        .iter()
        .map(|problem| match &problem.hint {
            Some(hint) => format!("{problem}\n  fix: {hint}"),
            None => problem.to_string(),
        })
        .collect();
    let count = problems.len();
    let error = anyhow::anyhow!(lines.join("\n")).context(format!("{count} checks failed"));
    Some(Error::new(class, error).with_hint("apply the fixes above, then run the same command again"))
}

#[cfg(test)]
mod tests {
    use super::together;
    use crate::step::{Class, Error};

    #[test]
    fn all_problems_are_reported_together_each_with_its_fix() {
        let problems = vec![
            Error::permanent("no helm").with_hint("install helm"),
            Error::transient("no answer from AWS"),
        ];
        let error = together(problems).unwrap();
        assert_eq!(error.class, Class::Permanent);
        assert_eq!(error.chain(), ["2 checks failed", "no helm\n  fix: install helm\nno answer from AWS"]);
    }

    #[test]
    fn a_single_problem_is_reported_unchanged() {
        let error = together(vec![Error::transient("no answer").with_hint("wait")]).unwrap();
        assert_eq!((error.class, error.hint.as_deref()), (Class::Transient, Some("wait")));
        assert!(together(Vec::new()).is_none());
    }
}
