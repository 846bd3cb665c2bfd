//! Who wrote which count, and how that compares with the names in the server's log.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use parking_lot::Mutex;

use support::admission::LoggedDrift;

/// A writer of a count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Author {
    pub(super) user: String,
    /// The field manager. Each user has one of their own.
    pub(super) manager: String,
}

/// The authors of the counts of each target. Each count of a target is written once, or at the same time by two users.
#[derive(Default)]
pub(super) struct Truth(Mutex<Authors>);

#[derive(Default)]
struct Authors {
    /// By the target and the count.
    counts: BTreeMap<(String, i64), Vec<Author>>,
    /// The authors of equal counts that were written one after another, in their order.
    sequences: BTreeMap<(String, i64), VecDeque<Author>>,
}

/// How the log compares with the truth.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// Drifts with the right user.
    pub(super) named: usize,
    /// Drifts without a user, although only one wrote the count.
    pub(super) unnamed: usize,
    /// Drifts of counts that two users wrote at the same time, with the right user and without one.
    raced: (usize, usize),
    /// Counts that were written, but were no drift of their own: the next write came before the server saw them.
    pub(super) unseen: usize,
    pub(super) wrong: Vec<String>,
    /// Writes that the API server let through without a review in time.
    pub(super) let_through: u64,
}

/// A Deployment as the server's log names it.
pub(super) fn target(namespace: &str, name: &str) -> String {
    format!("deployment.apps/{name} in namespace {namespace}")
}

impl Truth {
    /// Notes an author of a count that nobody else writes, unless at the same time.
    pub(super) fn note(&self, target: &str, count: i32, author: Author) {
        self.0.lock().counts.entry((target.to_owned(), count.into())).or_default().push(author);
    }

    /// Notes the next author of a count that is written again and again.
    pub(super) fn note_next(&self, target: &str, count: i32, author: Author) {
        self.0.lock().sequences.entry((target.to_owned(), count.into())).or_default().push_back(author);
    }

    /// Compares the drifts of a log with the truth. Drifts of other targets are ignored.
    pub(super) fn compare(&self, drifts: &[LoggedDrift]) -> Report {
        let mut authors = self.0.lock();
        let mut report = Report::default();
        let written = authors.counts.keys().chain(authors.sequences.keys());
        let ours: BTreeSet<_> = written.map(|(target, _)| target.clone()).collect();
        let mut unseen = authors.counts.clone();
        for drift in drifts.iter().filter(|drift| ours.contains(&drift.target)) {
            let key = (drift.target.clone(), drift.to);
            unseen.remove(&key);
            if let Some(all) = authors.counts.get(&key) {
                report.add(drift, all);
            } else if let Some(next) = authors.sequences.get_mut(&key).and_then(VecDeque::pop_front) {
                report.add(drift, &[next]);
            } else {
                // A dry run, a refused write, or a count that nobody wrote.
                report.wrong.push(format!("a drift that nobody caused: {drift:?}"));
            }
        }
        report.unseen = unseen.len() + authors.sequences.values().map(VecDeque::len).sum::<usize>();
        report
    }
}

impl Report {
    /// Adds a drift, whose count these users have written.
    fn add(&mut self, drift: &LoggedDrift, authors: &[Author]) {
        let author = authors.iter().find(|author| author.manager == drift.manager);
        // Kubernetes records no manager of a 0, nor of the next write through `/scale`. Then it is one of those who wrote it.
        let is_named = |author: &&Author| authors.len() == 1 || drift.user.as_ref() == Some(&author.user);
        let author = author.or_else(|| authors.iter().find(is_named));
        match (&drift.user, author) {
            (None, _) if authors.len() > 1 => self.raced.1 += 1,
            (None, _) => self.unnamed += 1,
            (Some(user), Some(author)) if *user == author.user => {
                if authors.len() > 1 {
                    self.raced.0 += 1;
                } else {
                    self.named += 1;
                }
            }
            _ => self.wrong.push(format!("{drift:?} was caused by {authors:?}")),
        }
    }
}

#[test]
fn names_are_compared_with_the_authors() {
    let author = |user: &str| Author { user: user.to_owned(), manager: format!("m-{user}") };
    let web = target("shop", "web");
    let drift = |to: i64, manager: &str, user: Option<&str>| LoggedDrift {
        target: target("shop", "web"),
        manager: format!("m-{manager}"),
        from: 1,
        to,
        user: user.map(str::to_owned),
    };
    for (name, drift, expected) in [
        ("the right name", drift(2, "alice", Some("alice")), "named"),
        ("no name", drift(2, "alice", None), "unnamed"),
        ("a wrong name", drift(2, "alice", Some("bob")), "wrong"),
        ("of two, the right one", drift(3, "bob", Some("bob")), "raced"),
        ("of two, none", drift(3, "bob", None), "raced"),
        ("of two, the other one", drift(3, "bob", Some("alice")), "wrong"),
        ("of two, one without a trace", drift(3, "unknown", Some("alice")), "raced"),
        ("of two, neither", drift(3, "unknown", Some("carol")), "wrong"),
        ("a count that nobody wrote", drift(4, "alice", None), "wrong"),
        ("a count in a sequence", drift(0, "unknown", Some("carol")), "named"),
        ("a wrong name in a sequence", drift(0, "unknown", Some("alice")), "wrong"),
    ] {
        let truth = Truth::default();
        truth.note(&web, 2, author("alice"));
        truth.note(&web, 3, author("alice"));
        truth.note(&web, 3, author("bob"));
        truth.note_next(&web, 0, author("carol"));
        let report = truth.compare(&[drift]);
        let found = [
            ("named", report.named),
            ("unnamed", report.unnamed),
            ("raced", report.raced.0 + report.raced.1),
            ("wrong", report.wrong.len()),
        ];
        let found: Vec<_> = found.into_iter().filter(|(_, number)| *number > 0).collect();
        assert_eq!(found, [(expected, 1)], "{name}");
    }
}
