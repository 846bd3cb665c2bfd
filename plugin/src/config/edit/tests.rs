use std::path::Path;

use super::*;
use crate::config::{Setting, file};

fn read(text: &str) -> Option<Entries> {
    file::parse(Path::new("config.yaml"), text).ok().map(|file| file.contexts)
}

/// Changes settings of contexts, and returns the new text.
fn edited(text: &str, changes: &[(&str, Setting, &str)]) -> Option<String> {
    let before = file::parse(Path::new("config.yaml"), text).unwrap();
    let mut after = before.clone();
    for (context, setting, value) in changes {
        after.set(context, *setting, value).unwrap();
    }
    rewrite(text, &before.contexts, &after.contexts, read)
}

struct Row {
    name: &'static str,
    before: &'static str,
    changes: &'static [(&'static str, Setting, &'static str)],
    after: &'static str,
}

const ROWS: [Row; 10] = [
    Row {
        name: "a field is changed, and its comment stays",
        before: "# Mine.\ncontexts:\n  # The shop.\n  shop:\n    # Near.\n    address: a:1  # fast\n    ca: ca.crt\n",
        changes: &[("shop", Setting::Address, "b:2")],
        after: "# Mine.\ncontexts:\n  # The shop.\n  shop:\n    # Near.\n    address: b:2  # fast\n    ca: ca.crt\n",
    },
    Row {
        name: "a field is added after the others",
        before: "contexts:\n  shop:\n    ca: ca.crt\n\n  # Next.\n  other:\n    ca: ca.crt\n# End.\n",
        changes: &[("shop", Setting::ServerName, "x.y")],
        after: "contexts:\n  shop:\n    ca: ca.crt\n    serverName: x.y\n\n  # Next.\n  other:\n    ca: ca.crt\n# End.\n",
    },
    Row {
        name: "a field is removed",
        before: "contexts:\n    shop:\n        address: a:1\n        # Trust.\n        ca: ca.crt\n",
        changes: &[("shop", Setting::Address, "")],
        after: "contexts:\n    shop:\n        # Trust.\n        ca: ca.crt\n",
    },
    Row {
        name: "a nested field is changed",
        before: "contexts:\n  shop:\n    service:\n      # There.\n      name: a\n    ca: ca.crt # x\n",
        changes: &[("shop", Setting::ServiceName, "b")],
        after: "contexts:\n  shop:\n    service:\n      # There.\n      name: b\n    ca: ca.crt # x\n",
    },
    Row {
        name: "an entry is added",
        before: "# Mine.\ncontexts:\n  shop:\n    ca: ca.crt # x\n",
        changes: &[("arn:aws:eks:x:cluster/y", Setting::ServiceNamespace, "tools")],
        after: "# Mine.\ncontexts:\n  shop:\n    ca: ca.crt # x\n  \"arn:aws:eks:x:cluster/y\":\n    service:\n      \
                namespace: tools\n",
    },
    Row {
        name: "the last entry is removed",
        before: "# Mine.\ncontexts:\n  shop:\n    address: a:1\n",
        changes: &[("shop", Setting::Address, "")],
        after: "# Mine.\ncontexts: {}\n",
    },
    Row {
        name: "the first entry is added",
        before: "# Mine.\ncontexts: {}\n",
        changes: &[("shop", Setting::ServerName, "x.y")],
        after: "# Mine.\ncontexts:\n  shop:\n    serverName: x.y\n",
    },
    Row {
        name: "a file with comments only",
        before: "# Mine.\n",
        changes: &[("shop", Setting::ServerName, "x.y")],
        after: "# Mine.\ncontexts:\n  shop:\n    serverName: x.y\n",
    },
    Row {
        name: "an entry in flow style",
        before: "# Mine.\ncontexts:\n  shop: {ca: ca.crt} # x\n  other: {ca: ca.crt} # y\n",
        changes: &[("shop", Setting::ServerName, "x.y")],
        after: "# Mine.\ncontexts:\n  shop:\n    ca: ca.crt\n    serverName: x.y\n  other: {ca: ca.crt} # y\n",
    },
    Row {
        name: "quoted names",
        before: "contexts:\n  \"a b\":\n    ca: ca.crt # x\n  'c':\n    ca: ca.crt # y\n",
        changes: &[("a b", Setting::ServerName, "x.y"), ("c", Setting::ServerName, "x.z")],
        after: "contexts:\n  \"a b\":\n    ca: ca.crt # x\n    serverName: x.y\n  'c':\n    ca: ca.crt # y\n    \
                serverName: x.z\n",
    },
];

#[test]
fn only_the_lines_that_change_are_written() {
    for Row { name, before, changes, after } in ROWS {
        assert_eq!(edited(before, changes).as_deref(), Some(after), "{name}");
    }
}

#[test]
fn yaml_of_another_style_is_left_to_the_writer() {
    for text in ["contexts: {shop: {ca: a}}\n", "{contexts: {}}\n", "contexts:\n  shop: &x\n    ca: a\n  b: *x\n"] {
        if let Some(changed) = edited(text, &[("shop", Setting::ServerName, "x.y")]) {
            let shop = read(&changed).unwrap().remove("shop").unwrap();
            assert_eq!(shop.server_name.as_deref(), Some("x.y"), "what is returned is right: {changed}");
        }
    }
}
