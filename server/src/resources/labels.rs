//! The labels of an object, stored in little memory. Many objects have the same keys, so these are stored once.

use std::{collections::BTreeMap, sync::Arc};

/// Separates keys, and values. The API server accepts a line break in neither.
const SEPARATOR: char = '\n';

/// The labels of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels {
    /// The keys. Objects with the same keys share one text.
    keys: Arc<str>,
    /// The values, in the order of the keys.
    values: Box<str>,
}

impl Labels {
    /// The value of a label.
    pub fn get(&self, key: &str) -> Option<&str> {
        let mut all = self.keys.split_terminator(SEPARATOR).zip(self.values.split_terminator(SEPARATOR));
        all.find(|(found, _)| *found == key).map(|(_, value)| value)
    }

    /// The keys. The caller may replace them only by an equal text.
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
