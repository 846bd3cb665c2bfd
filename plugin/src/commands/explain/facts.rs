//! What is known of a target and its count.

use contract::replicas::v1::{Condition, Override, ReplicaCount, Target};
use jiff::Timestamp;

use crate::{kubernetes::TargetObject, time::from_proto};

/// What was found out, or a sentence that says why it was not.
pub(super) type Found<T> = Result<T, String>;

/// What is known of a target and its count.
pub(super) struct Facts {
    pub(super) target: Target,
    /// The replica count. If the caller may not read it, it has only what the target's object says.
    pub(super) count: ReplicaCount,
    /// Why the caller may not read the replica count.
    pub(super) hidden: Option<String>,
    /// The object of the target; None if there is no such target.
    pub(super) object: Found<Option<TargetObject>>,
    /// The names of the HorizontalPodAutoscalers that scale the target.
    pub(super) autoscalers: Found<Vec<String>>,
    /// Why pods are not ready.
    pub(super) pods: Found<Vec<String>>,
    /// The tool that keeps the ReplicaCount, which undoes the writes of others.
    pub(super) keeper: Found<Option<String>>,
    pub(super) rights: Found<Rights>,
    /// Whether the server keeps counts by admission, at least of some targets.
    pub(super) is_guarding: bool,
}

/// What the caller may do.
pub(super) struct Rights {
    /// The user whom the API server has answered about.
    pub(super) user: String,
    /// The user whom the server knows, by the certificate.
    pub(super) server_user: String,
    pub(super) set: bool,
    pub(super) unset: bool,
    /// Whether the caller may scale the target itself.
    pub(super) scale: bool,
}

impl Facts {
    /// Whether the target is managed, as far as the caller may know.
    pub(super) const fn is_managed(&self) -> bool {
        self.count.desired.is_some()
    }

    /// Whether it is known that the target is not managed.
    pub(super) const fn is_unmanaged(&self) -> bool {
        !self.is_managed() && self.hidden.is_none()
    }

    /// The object of the target, if it is known.
    pub(super) fn known_object(&self) -> Option<&TargetObject> {
        self.object.as_ref().ok().and_then(Option::as_ref)
    }

    /// The managers that apply the count: as the server remembers them, or as the object has them now.
    pub(super) fn appliers(&self) -> &[String] {
        match self.is_managed() {
            true => &self.count.appliers,
            false => self.known_object().map_or(&[], |object| &object.appliers),
        }
    }

    /// The override and its end, if it has not ended.
    pub(super) fn running_override(&self, now: Timestamp) -> Option<(&Override, Timestamp)> {
        let over = self.count.r#override.as_ref()?;
        let until = over.until.as_ref().and_then(from_proto)?;
        (until > now).then_some((over, until))
    }

    /// Whether other counts are kept from being stored.
    pub(super) fn is_guarded(&self) -> bool {
        self.count.admission == "guarded"
    }

    /// Whether the server has found that targets of this kind have no count.
    pub(super) fn is_unscalable(&self) -> bool {
        self.condition("TargetFound").is_some_and(|condition| condition.reason == "KindNotScalable")
    }

    /// A condition of the replica count.
    pub(super) fn condition(&self, name: &str) -> Option<&Condition> {
        self.count.conditions.iter().find(|condition| condition.r#type == name)
    }

    /// What could not be found out, each as a sentence.
    pub(super) fn missing(&self) -> Vec<&str> {
        let of = [
            self.hidden.as_ref(),
            self.object.as_ref().err(),
            self.autoscalers.as_ref().err(),
            self.pods.as_ref().err(),
            self.keeper.as_ref().err(),
            self.rights.as_ref().err(),
        ];
        let mut missing: Vec<&str> = Vec::new();
        for sentence in of.into_iter().flatten() {
            // Without a kubeconfig, many are missing for the same reason.
            if !missing.contains(&sentence.as_str()) {
                missing.push(sentence);
            }
        }
        missing
    }
}
