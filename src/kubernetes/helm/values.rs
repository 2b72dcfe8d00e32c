//! Helm values: merged and compared as Helm does it.

use serde_json::Value;

/// Overlays values: mappings are merged, everything else, lists included, is replaced. Helm does the same
/// with several files.
pub fn merge(base: Value, over: Value) -> Value {
    match (base, over) {
        (Value::Object(mut base), Value::Object(over)) => {
            for (key, over) in over {
                let merged = match base.remove(&key) {
                    Some(base) => merge(base, over),
                    None => over,
                };
                base.insert(key, merged);
            }
            Value::Object(base)
        }
        (_, over) => over,
    }
}

/// The keys, as in `controller.replicas`, at which two sets of values differ. Values are left out because
/// they may be secret.
pub(super) fn differing(had: &Value, wanted: &Value) -> Vec<String> {
    let mut keys = Vec::new();
    walk("", had, wanted, &mut keys);
    keys
}

fn walk(path: &str, had: &Value, wanted: &Value, keys: &mut Vec<String>) {
    match (had, wanted) {
        (Value::Object(had), Value::Object(wanted)) => {
            let mut names: Vec<_> = had.keys().chain(wanted.keys()).collect();
            names.sort();
            names.dedup();
            for name in names {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                let of =
                    |values: &serde_json::Map<String, Value>| values.get(name).cloned().unwrap_or_default();
                walk(&path, &of(had), &of(wanted), keys);
            }
        }
        // Helm stores numbers as floating point.
        (Value::Number(had), Value::Number(wanted)) if had.as_f64() == wanted.as_f64() => {}
        (Value::Array(had), Value::Array(wanted)) if had.len() == wanted.len() => {
            for (index, (had, wanted)) in had.iter().zip(wanted).enumerate() {
                walk(&format!("{path}[{index}]"), had, wanted, keys);
            }
        }
        (had, wanted) if had != wanted => keys.push(path.to_owned()),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn mappings_are_merged_and_lists_replaced() {
        let base = json!({ "a": { "x": 1, "y": 2 }, "list": [1, 2], "kept": true });
        let over = json!({ "a": { "y": 3, "z": 4 }, "list": [3] });
        let merged = json!({ "a": { "x": 1, "y": 3, "z": 4 }, "list": [3], "kept": true });
        assert_eq!(merge(base, over), merged);
        assert_eq!(merge(Value::Null, json!({ "a": 1 })), json!({ "a": 1 }));
    }

    #[test]
    fn differences_are_reported_by_key_without_values() {
        let had = json!({ "a": { "x": 1, "secret": "old" }, "list": [{ "n": 1 }], "removed": 1 });
        let wanted = json!({ "a": { "x": 1.0, "secret": "new" }, "list": [{ "n": 2 }], "added": {} });
        assert_eq!(differing(&had, &wanted), ["a.secret", "added", "list[0].n", "removed"]);
    }
}
