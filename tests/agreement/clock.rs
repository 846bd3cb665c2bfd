//! How long places have taken to agree.

use std::{collections::BTreeMap, time::Duration};

use kube::ResourceExt;
use tokio::time::Instant;

use super::places::Objects;

/// Runs from a step on. It begins anew when a controller of Kubernetes writes to a target that already has its count: the
/// end and the start of pods take longer than the servers' word of them.
pub(super) struct Clock {
    began: Instant,
    /// When the targets were last read, their versions, and whether all had their counts.
    last: Option<(Instant, BTreeMap<String, Option<String>>, bool)>,
    /// What did not agree, and when that was read.
    disagreement: Option<(Duration, String)>,
}

impl Clock {
    pub(super) const fn since(began: Instant) -> Self {
        Self { began, last: None, disagreement: None }
    }

    /// Takes note of objects that were read from a time on.
    pub(super) fn note(&mut self, objects: &Objects, read: Instant, have_counts: bool) {
        let versions = objects.targets.iter().map(|(name, target)| (name.clone(), target.resource_version()));
        let versions: BTreeMap<_, _> = versions.collect();
        if let Some((before, old, true)) = &self.last
            && have_counts
            && *old != versions
        {
            self.began = self.began.max(*before);
        }
        self.last = Some((read, versions, have_counts));
    }

    /// Remembers what did not agree.
    pub(super) fn disagree(&mut self, error: &anyhow::Error) {
        self.disagreement = Some((self.elapsed(), format!("{error:#}")));
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// What did not agree at last, and when.
    pub(super) fn describe(&self) -> String {
        match &self.disagreement {
            Some((when, what)) => format!("after {when:.2?}, {what}"),
            None => "the first look found no disagreement".to_owned(),
        }
    }
}
