//! What admission does for one target, and what that means for its autoscaler.

use crate::resources::Override;

/// What admission does for a target now, as a dry run has shown for its namespace and kind. Each does more than the one
/// before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Admission {
    /// Nothing: there is no webhook, or it leaves the namespace or the kind out.
    #[default]
    Neither,
    /// The server learns who changes the count.
    Recorded,
    /// The server keeps the count from being changed.
    Guarded,
}

impl Admission {
    /// The name in the status and on the wire.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Neither => "",
            Self::Recorded => "recorded",
            Self::Guarded => "guarded",
        }
    }
}

/// What the guard means for an autoscaler of a target, which may have an override in force.
pub(crate) fn paused_autoscaler(autoscaler: &str, over: Option<&Override>) -> String {
    let end = over.map(|over| format!(", until {}", over.until.0)).unwrap_or_default();
    format!("HorizontalPodAutoscaler {autoscaler} is paused while the count is held{end}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resources::fixtures::ReplicaCountBuilder;

    #[test]
    fn an_autoscaler_is_paused_until_the_end_of_an_override() {
        let now = "2026-01-01T12:00:00Z".parse().unwrap();
        let until = |until: &str| json!({"override": {"replicas": 9, "until": until}});
        let message = "HorizontalPodAutoscaler web is paused while the count is held";
        for (name, spec, end) in [
            ("a lasting count", json!({}), ""),
            ("an override", until("2026-01-01T13:00:00Z"), ", until 2026-01-01T13:00:00Z"),
            ("an override that has ended", until("2026-01-01T11:00:00Z"), ""),
        ] {
            let count = ReplicaCountBuilder::new("web").spec(spec).state();
            assert_eq!(paused_autoscaler("web", count.active_override(now)), format!("{message}{end}"), "{name}");
        }
    }
}
