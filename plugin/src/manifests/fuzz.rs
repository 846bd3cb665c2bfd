//! Files with ReplicaCounts.

use super::{parse, tests::DOCUMENTS};
use crate::error::{Error, explain};

#[test]
fn what_a_file_holds_is_a_target_and_a_count() {
    let list = r#"{"kind":"List","items":[{"apiVersion":"replica-count-manager.io/v1","kind":"ReplicaCount",
        "spec":{"scaleTargetRef":{"apiVersion":"v1","kind":"ReplicationController","name":"x"},"replicas":0}}]}"#;
    let words = ["---\n", "items: [", "&x ", "*x", "<<: *x", "~", "override:", "until: '9999-12-31T00:00:00Z'"];
    fuzz::target("files of ReplicaCounts").seeds([DOCUMENTS, list]).words(words).text(|text| {
        match parse("counts.yaml", text) {
            Ok(manifests) => {
                assert!(!manifests.is_empty());
                true
            }
            Err(error) => {
                assert!(explain("error", &Error::from(error)).starts_with("error: "));
                false
            }
        }
    });
}
