//! Metrics of admission: reviews, and what follows from them.

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

/// A label set: a verdict.
type OfVerdict = [(&'static str, &'static str); 1];

/// The verdict of a review whose body was not read.
const REFUSED: &str = "refused";

/// The verdicts of reviews, as the metric names them.
const VERDICTS: [&str; 6] = ["allowed", "warned", "kept", "denied", "unreadable", REFUSED];

/// The verdicts that prevent a change.
const PREVENTING: [&str; 2] = ["kept", "denied"];

/// Counts and times reviews of admission. Clones share the values.
#[derive(Clone, Debug)]
pub struct Admission {
    reviews: Family<OfVerdict, Counter>,
    review_seconds: Histogram,
    /// Drifts that no review fits.
    pub(crate) unmatched: Counter,
    /// Drifts that the reviews of several users fit.
    pub(crate) ambiguous: Counter,
    attempts: Family<OfVerdict, Counter>,
    /// Attempts that found no room on their way to the status.
    pub(crate) attempts_lost: Counter,
    /// 1 if this replica leads and could not tell the API server how to call the webhooks.
    pub(crate) unpublished: Gauge,
    /// Connections to the webhooks that were ended because they showed no secret path, or were too many.
    pub(crate) connections_refused: Counter,
}

impl Admission {
    /// Registers the metrics.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let ours = Self {
            reviews: Family::default(),
            // From half a millisecond to the timeout of a webhook.
            review_seconds: Histogram::new([0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0]),
            unmatched: Counter::default(),
            ambiguous: Counter::default(),
            attempts: Family::default(),
            attempts_lost: Counter::default(),
            unpublished: Gauge::default(),
            connections_refused: Counter::default(),
        };
        VERDICTS.into_iter().for_each(|verdict| drop(ours.reviews.get_or_create(&by(verdict))));
        PREVENTING.into_iter().for_each(|verdict| drop(ours.attempts.get_or_create(&by(verdict))));
        registry.register("reviews", "Reviews by the webhooks, by verdict", ours.reviews.clone());
        registry.register("review_seconds", "Time of one review", ours.review_seconds.clone());
        registry.register("reviews_unmatched", "Drifts that no review fits", ours.unmatched.clone());
        registry.register(
            "reviews_ambiguous",
            "Drifts that the reviews of several users fit, so that none is named",
            ours.ambiguous.clone(),
        );
        registry.register("attempts", "Prevented changes of counts, by verdict", ours.attempts.clone());
        registry.register(
            "attempts_lost",
            "Prevented changes that no status shows, because there were too many at once",
            ours.attempts_lost.clone(),
        );
        registry.register(
            "webhooks_unpublished",
            "Whether the leader could not tell the API server how to call the webhooks",
            ours.unpublished.clone(),
        );
        registry.register(
            "webhook_connections_refused",
            "Connections to the webhooks without the secret path, or beyond the bound",
            ours.connections_refused.clone(),
        );
        ours
    }

    /// Counts a review.
    pub(crate) fn reviewed(&self, verdict: &'static str, seconds: f64) {
        self.reviews.get_or_create(&by(verdict)).inc();
        self.review_seconds.observe(seconds);
    }

    /// Counts a review whose body was not read.
    pub(crate) fn refused(&self) {
        self.reviews.get_or_create(&by(REFUSED)).inc();
    }

    /// Counts a prevented change.
    pub(crate) fn attempted(&self, verdict: &str) {
        if let Some(verdict) = PREVENTING.into_iter().find(|one| *one == verdict) {
            self.attempts.get_or_create(&by(verdict)).inc();
        }
    }
}

fn by(verdict: &'static str) -> OfVerdict {
    [("verdict", verdict)]
}
