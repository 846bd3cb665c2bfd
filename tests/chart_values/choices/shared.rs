//! What several values of the chart can be.

use serde_json::{Value, json};

use crate::chart_values::DIGITS;

/// Valid `NetworkPolicyPeers`, and invalid ones.
pub(super) fn peers() -> (Value, Value) {
    (
        json!([[{"podSelector": {"matchLabels": {"app": DIGITS}}}, {"ipBlock": {"cidr": "10.0.0.0/8"}}]]),
        json!([[{}], [{"podSelektor": {}}], [{"ipBlock": {"cidr": "10.0.0.1"}}]]),
    )
}

/// Valid and invalid labels.
pub(super) fn labels() -> [Value; 2] {
    let valid = json!([{"team": "123"}, {"a.b/c": "true", "d": ""}]);
    [valid, json!([{"a": "not a value"}, {"a b": "x"}, {"app.kubernetes.io/part-of": "x"}, {"a": 1}])]
}
