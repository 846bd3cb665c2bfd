//! The one decision about a write, beside the one of enforcement: from the write, from what is held, and from nothing
//! else.

use super::{held::Held, request::CountWrite};
use crate::reviews::{AdmissionMode, verdicts};

/// Which webhook asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// The validating one: of `/scale`, and of the objects as they will be stored.
    Validate,
    /// The mutating one, of the objects themselves.
    Mutate,
}

/// What the server answers to a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is allowed without a warning.
    Allowed,
    /// It is allowed, and the user is warned that the count will be put back.
    Warned,
    /// It is allowed with the count that is held.
    Kept,
    /// It is refused.
    Denied,
}

impl Verdict {
    /// The name in metrics.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Warned => "warned",
            Self::Kept => verdicts::KEPT,
            Self::Denied => verdicts::DENIED,
        }
    }

    /// Whether it prevents the change.
    pub(super) fn is_preventing(self) -> bool {
        matches!(self, Self::Kept | Self::Denied)
    }
}

/// Decides about a write. `/scale` cannot store another count than the request asks for without a lie to its caller, so
/// it is refused. The object itself may be a whole release, so the rest of it is stored.
pub(super) fn review(mode: AdmissionMode, endpoint: Endpoint, write: &CountWrite, held: Option<&Held>) -> Verdict {
    let Some(held) = held.filter(|_| !write.is_controlled) else { return Verdict::Allowed };
    let is_unchanged = !write.is_created && write.from == write.to;
    if is_unchanged || write.to == Some(held.desired) {
        return Verdict::Allowed;
    }
    // A write with a count that cannot be stored would fail as a whole. The user is warned instead.
    let mode = if held.is_refused && mode == AdmissionMode::Guard { AdmissionMode::Warn } else { mode };
    match (mode, endpoint) {
        (AdmissionMode::Off | AdmissionMode::Record, _) | (AdmissionMode::Warn, Endpoint::Mutate) => Verdict::Allowed,
        (AdmissionMode::Warn, Endpoint::Validate) => Verdict::Warned,
        (AdmissionMode::Guard, Endpoint::Validate) if write.is_scale => Verdict::Denied,
        // The mutating webhook has kept the count, if it could. It cannot patch every object. And it is not called if
        // only another mutating webhook, which comes after it, changes the count.
        (AdmissionMode::Guard, Endpoint::Validate) => Verdict::Warned,
        (AdmissionMode::Guard, Endpoint::Mutate) if write.pointer.is_some() => Verdict::Kept,
        (AdmissionMode::Guard, Endpoint::Mutate) => Verdict::Allowed,
    }
}

#[cfg(test)]
mod tests {
    use super::{
        Verdict::{Allowed, Denied, Kept, Warned},
        *,
    };
    use crate::resources::{FieldPath, fixtures::deployment_key};

    fn write() -> CountWrite {
        CountWrite {
            key: deployment_key("web"),
            uid: "u".into(),
            before: 10,
            from: Some(3),
            to: Some(7),
            is_created: false,
            is_scale: false,
            is_controlled: false,
            pointer: Some(FieldPath::replicas().pointer()),
        }
    }

    struct Row {
        name: &'static str,
        write: CountWrite,
        is_held: bool,
        /// In the modes record, warn and guard; by the validating and by the mutating webhook.
        expected: [(Verdict, Verdict); 3],
    }

    fn rows() -> Vec<Row> {
        let held = |name, write, expected| Row { name, write, is_held: true, expected };
        let never = [(Allowed, Allowed); 3];
        let of_object = [(Allowed, Allowed), (Warned, Allowed), (Warned, Kept)];
        let of_scale = [(Allowed, Allowed), (Warned, Allowed), (Denied, Allowed)];
        let without_place = [(Allowed, Allowed), (Warned, Allowed), (Warned, Allowed)];
        let created = || CountWrite { is_created: true, from: None, ..write() };
        vec![
            held("another count", write(), of_object),
            held("through /scale", CountWrite { is_scale: true, pointer: None, ..write() }, of_scale),
            Row { name: "not held", write: write(), is_held: false, expected: never },
            held("the held count", CountWrite { to: Some(3), ..write() }, never),
            held("no change of a wrong count", CountWrite { from: Some(7), ..write() }, never),
            held("from one wrong count to another", CountWrite { from: Some(9), ..write() }, of_object),
            held("no count", CountWrite { to: None, ..write() }, of_object),
            held("a new object", created(), of_object),
            held("a new object without a count", CountWrite { to: None, ..created() }, of_object),
            held("without a place for the count", CountWrite { pointer: None, ..write() }, without_place),
            held("a new object without one", CountWrite { pointer: None, to: None, ..created() }, without_place),
            held("a ReplicaSet of a Deployment", CountWrite { is_controlled: true, ..write() }, never),
        ]
    }

    #[test]
    fn each_mode_answers_each_write() {
        let held =
            Held { desired: 3, set_by: "alice".to_owned(), reason: String::new(), until: None, is_refused: false };
        for row in rows() {
            let held = Some(&held).filter(|_| row.is_held);
            let answer =
                |mode| [Endpoint::Validate, Endpoint::Mutate].map(|endpoint| review(mode, endpoint, &row.write, held));
            assert_eq!(answer(AdmissionMode::Off), [Verdict::Allowed; 2], "{} in mode off", row.name);
            let modes = [AdmissionMode::Record, AdmissionMode::Warn, AdmissionMode::Guard];
            for (mode, (validate, mutate)) in modes.into_iter().zip(row.expected) {
                assert_eq!(answer(mode), [validate, mutate], "{} in mode {}", row.name, mode.label());
            }
        }
    }

    #[test]
    fn the_guard_only_warns_of_a_count_that_could_not_be_stored() {
        let held =
            Held { desired: 3, set_by: "alice".to_owned(), reason: String::new(), until: None, is_refused: true };
        for row in rows() {
            let held = Some(&held).filter(|_| row.is_held);
            let answer =
                |mode| [Endpoint::Validate, Endpoint::Mutate].map(|endpoint| review(mode, endpoint, &row.write, held));
            assert_eq!(answer(AdmissionMode::Guard), answer(AdmissionMode::Warn), "{}", row.name);
        }
    }
}
