//! The labels of an object, stored in little memory. Many objects have the same keys, so these are stored once.

use std::{collections::BTreeMap, sync::Arc};

/// Separates keys, and values. The API server accepts a line break in neither.
const SEPARATOR: char = '\n';

/// The most bytes of the labels of one object that are kept: dozens of usual ones. Every object's labels stay in memory,
/// and any client that may write an object can store a megabyte of labels in it.
const MAX_BYTES: usize = 4096;

/// The labels of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels {
    /// The keys. Objects with the same keys share one text.
    keys: Arc<str>,
    /// The values, in the order of the keys. `None` if the object has too many labels to keep them.
    values: Option<Box<str>>,
}

impl Labels {
    /// The value of a label.
    pub fn get(&self, key: &str) -> Option<&str> {
        let values = self.values.as_deref()?;
        let mut all = self.keys.split_terminator(SEPARATOR).zip(values.split_terminator(SEPARATOR));
        all.find(|(found, _)| *found == key).map(|(_, value)| value)
    }

    /// Whether the labels are known. They are not if the object has more of them than are kept.
    pub fn is_known(&self) -> bool {
        self.values.is_some()
    }

    /// The keys. The caller may replace them only by an equal text.
    pub(crate) fn keys_mut(&mut self) -> &mut Arc<str> {
        &mut self.keys
    }
}

impl Default for Labels {
    fn default() -> Self {
        Self { keys: Arc::from(""), values: Some(Box::default()) }
    }
}

impl From<&BTreeMap<String, String>> for Labels {
    fn from(labels: &BTreeMap<String, String>) -> Self {
        if labels.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>() > MAX_BYTES {
            return Self { keys: Arc::from(""), values: None };
        }
        let push_line = |text: &mut String, line: &str| {
            text.push_str(line);
            text.push(SEPARATOR);
        };
        let (mut keys, mut values) = (String::new(), String::new());
        // The API server accepts no label with a line break, so the filter drops no real label.
        for (key, value) in labels.iter().filter(|(key, value)| !key.contains(SEPARATOR) && !value.contains(SEPARATOR))
        {
            push_line(&mut keys, key);
            push_line(&mut values, value);
        }
        Self { keys: keys.into(), values: Some(values.into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_found_by_its_key() {
        let all = [("app", "web"), ("canary", ""), ("tier", "front")];
        let labels = all.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let labels = Labels::from(&labels);
        for (key, value) in all {
            assert_eq!(labels.get(key), Some(value));
        }
        for key in ["", "ap", "app\ncanary", "web"] {
            assert_eq!(labels.get(key), None, "{key:?}");
        }
        assert_eq!(Labels::default().get("app"), None);
    }

    #[test]
    fn what_cannot_be_a_label_is_none() {
        let labels = [("a\nb".to_owned(), "c".to_owned()), ("d".to_owned(), "e".to_owned())].into();
        assert_eq!((Labels::from(&labels).get("a"), Labels::from(&labels).get("d")), (None, Some("e")));
    }

    #[test]
    fn labels_beyond_the_bound_are_unknown_and_take_no_memory() {
        for (name, count, is_known) in [("usual", 30, true), ("at the bound", 64, true), ("beyond", 65, false)] {
            // 64 bytes each.
            let labels = (0..count).map(|number| (format!("{number:032}"), "v".repeat(32))).collect();
            let labels = Labels::from(&labels);
            assert_eq!(labels.is_known(), is_known, "{name}");
            assert_eq!(labels.get(&format!("{:032}", 0)).is_some(), is_known, "{name}");
            assert!(is_known || labels.keys.is_empty(), "{name}");
        }
    }
}
