//! The progress of an apply or a destroy, from its messages.

use super::message::{Hook, Message};

/// Counts finished operations, and knows the running ones.
#[derive(Debug, Default)]
pub struct Progress {
    pub done: u32,
    /// 0 while it is not known.
    pub total: u32,
    /// What is counted, to be read after `done/total`.
    counted: &'static str,
    /// What happens while nothing is running and the total is not known.
    idle: &'static str,
    /// Key and text of each running operation, the oldest first: that one usually takes the longest.
    running: Vec<(String, String)>,
}

impl Progress {
    /// Of an apply. Its plan has determined the number of operations.
    pub fn apply(total: u32) -> Self {
        Self { total, counted: "resources applied", idle: "applying", ..Self::default() }
    }

    /// Of a deletion, whose plan has determined the number of resources.
    pub fn destroy(total: u32) -> Self {
        Self { total, counted: "resources deleted", idle: "deleting", ..Self::default() }
    }

    /// Updates the progress from a message. Returns whether it changed.
    pub fn take(&mut self, message: &Message) -> bool {
        match message {
            Message::ApplyStart { hook } if hook.action != "read" => {
                let text = format!("{} {}", doing(&hook.action), hook.resource.resource);
                self.running.push((key(hook), text));
            }
            Message::ApplyComplete { hook } if hook.action != "read" => {
                self.ended(hook);
                self.done += 1;
            }
            Message::ApplyErrored { hook } if hook.action != "read" => self.ended(hook),
            _ => return false,
        }
        true
    }

    fn ended(&mut self, hook: &Hook) {
        let key = key(hook);
        self.running.retain(|(running, _)| *running != key);
    }

    /// For instance `resources applied, creating aws_eks_cluster.this and 2 more`, to be read after `done/total`.
    /// Only the running operations while the total is not known.
    pub fn text(&self) -> String {
        let running = match &self.running[..] {
            [] => String::new(),
            [(_, only)] => only.clone(),
            [(_, oldest), others @ ..] => format!("{oldest} and {} more", others.len()),
        };
        match (self.total, running.as_str()) {
            (0, "") => self.idle.to_owned(),
            (0, _) => running,
            (_, "") => self.counted.to_owned(),
            _ => format!("{}, {running}", self.counted),
        }
    }
}

/// Contains the action, because a replacement is two operations on one address.
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
    use crate::phase::terraform::message::{Hook, Resource};

    fn hook(resource: &str, action: &str) -> Hook {
        let resource = Resource { addr: format!("module.m.{resource}"), resource: resource.to_owned() };
        Hook { resource, action: action.to_owned(), importing: None }
    }

    #[test]
    fn the_longest_running_operation_is_named_and_finished_ones_are_counted() {
        let mut progress = Progress::apply(3);
        assert!(progress.take(&Message::ApplyStart { hook: hook("aws_eks_cluster.this", "create") }));
        assert!(progress.take(&Message::ApplyStart { hook: hook("aws_iam_role.node", "create") }));
        assert_eq!(progress.text(), "resources applied, creating aws_eks_cluster.this and 1 more");
        assert!(progress.take(&Message::ApplyComplete { hook: hook("aws_iam_role.node", "create") }));
        let text = progress.text();
        assert_eq!((progress.done, text.as_str()), (1, "resources applied, creating aws_eks_cluster.this"));
    }

    #[test]
    fn reading_data_does_not_count_as_an_operation() {
        let mut progress = Progress::apply(1);
        assert!(!progress.take(&Message::ApplyStart { hook: hook("data.aws_partition.current", "read") }));
        assert!(!progress.take(&Message::ApplyComplete { hook: hook("data.aws_partition.current", "read") }));
        assert_eq!((progress.done, progress.text().as_str()), (0, "resources applied"));
    }

    #[test]
    fn a_deletion_counts_deleted_resources() {
        let mut progress = Progress::destroy(31);
        assert_eq!((progress.total, progress.text().as_str()), (31, "resources deleted"));
        assert!(progress.take(&Message::ApplyStart { hook: hook("aws_vpc.this", "delete") }));
        assert_eq!(progress.text(), "resources deleted, deleting aws_vpc.this");
    }
}
