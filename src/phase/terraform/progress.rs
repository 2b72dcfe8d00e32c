//! The progress of an apply or a destroy, from its messages.

use super::message::{Hook, Message};

/// Counts operations and remembers what runs.
#[derive(Debug, Default)]
pub struct Progress {
    pub done: u32,
    pub total: u32,
    /// The text while no operation runs.
    idle: &'static str,
    /// In the order of their start: the first one is what takes so long.
    running: Vec<(String, String)>,
}

impl Progress {
    /// Of an apply, whose plan tells how many operations there are.
    pub fn apply(total: u32) -> Self {
        Self { total, idle: "applying", ..Self::default() }
    }

    /// Of a destroy: it plans first.
    pub fn destroy() -> Self {
        Self { idle: "deleting", ..Self::default() }
    }

    /// Takes a message in; returns whether the progress changed.
    pub fn take(&mut self, message: &Message) -> bool {
        match message {
            Message::ApplyStart { hook } if hook.action != "read" => {
                let text = format!("{} {}", hook.resource.resource, doing(&hook.action));
                self.running.push((key(hook), text));
            }
            Message::ApplyComplete { hook } if hook.action != "read" => {
                self.ended(hook);
                self.done += 1;
            }
            Message::ApplyErrored { hook } if hook.action != "read" => self.ended(hook),
            Message::ChangeSummary { changes } if self.total == 0 => self.total = changes.operations(),
            _ => return false,
        }
        true
    }

    fn ended(&mut self, hook: &Hook) {
        let key = key(hook);
        self.running.retain(|(running, _)| *running != key);
    }

    /// What is under way, the oldest first.
    pub fn text(&self) -> String {
        match &self.running[..] {
            [] => self.idle.to_owned(),
            [(_, only)] => only.clone(),
            [(_, oldest), others @ ..] => format!("{oldest}, and {} more", others.len()),
        }
    }
}

/// A replacement is two operations on one address.
fn key(hook: &Hook) -> String {
    format!("{} {}", hook.action, hook.resource.addr)
}

fn doing(action: &str) -> &str {
    match action {
        "create" => "creating",
        "update" => "updating",
        "delete" => "deleting",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::{Message, Progress};
    use crate::phase::terraform::message::{Hook, Resource, Summary};

    fn hook(resource: &str, action: &str) -> Hook {
        let resource = Resource { addr: format!("module.m.{resource}"), resource: resource.to_owned() };
        Hook { resource, action: action.to_owned() }
    }

    #[test]
    fn the_operation_that_runs_longest_is_named_and_finished_ones_are_counted() {
        let mut progress = Progress::apply(3);
        assert!(progress.take(&Message::ApplyStart { hook: hook("aws_eks_cluster.this", "create") }));
        assert!(progress.take(&Message::ApplyStart { hook: hook("aws_iam_role.node", "create") }));
        assert_eq!(progress.text(), "aws_eks_cluster.this creating, and 1 more");
        assert!(progress.take(&Message::ApplyComplete { hook: hook("aws_iam_role.node", "create") }));
        assert_eq!((progress.done, progress.text().as_str()), (1, "aws_eks_cluster.this creating"));
    }

    #[test]
    fn reading_data_is_no_operation() {
        let mut progress = Progress::apply(1);
        assert!(!progress.take(&Message::ApplyStart { hook: hook("data.aws_partition.current", "read") }));
        assert!(!progress.take(&Message::ApplyComplete { hook: hook("data.aws_partition.current", "read") }));
        assert_eq!((progress.done, progress.text().as_str()), (0, "applying"));
    }

    #[test]
    fn a_destroy_learns_its_length_on_the_way() {
        let mut progress = Progress::destroy();
        let plan = Summary { add: 0, change: 0, remove: 31 };
        assert!(progress.take(&Message::ChangeSummary { changes: plan }));
        assert!(!progress.take(&Message::ChangeSummary { changes: plan }));
        assert_eq!(progress.total, 31);
    }
}
