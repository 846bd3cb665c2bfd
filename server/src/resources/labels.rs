//! The labels of an object, in little memory: most objects have the same keys.

use std::{collections::BTreeMap, sync::Arc};

/// What separates keys, and values: neither can hold it.
const SEPARATOR: char = '\n';

/// The labels of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels {
    /// The keys, to be shared with all objects that have the same.
    keys: Arc<str>,
    /// Their values, in the same order.
    values: Box<str>,
}

impl Labels {
    /// The value of a label.
    pub fn get(&self, key: &str) -> Option<&str> {
        let mut all = self.keys.split_terminator(SEPARATOR).zip(self.values.split_terminator(SEPARATOR));
        all.find(|(found, _)| *found == key).map(|(_, value)| value)
    }

    /// The keys, to be replaced by an equal text.
    pub(crate) fn keys_mut(&mut self) -> &mut Arc<str> {
        &mut self.keys
    }
}

impl Default for Labels {
    fn default() -> Self {
        Self { keys: Arc::from(""), values: Box::default() }
    }
}

impl From<&BTreeMap<String, String>> for Labels {
    fn from(labels: &BTreeMap<String, String>) -> Self {
        let lines = |text: &mut String, line: &str| {
            text.push_str(line);
            text.push(SEPARATOR);
        };
        let (mut keys, mut values) = (String::new(), String::new());
        // The API server knows no label with a line break, so none is lost.
        for (key, value) in labels.iter().filter(|(key, value)| !key.contains(SEPARATOR) && !value.contains(SEPARATOR))
        {
            lines(&mut keys, key);
            lines(&mut values, value);
        }
        Self { keys: keys.into(), values: values.into() }
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
}
