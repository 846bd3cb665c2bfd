//! Which operation an undo takes back.

use std::collections::{HashMap, HashSet};

use super::operation::{Cluster, Operation, State, TargetChange};

/// The targets that later operations have undone or tried to undo, for each operation by its number.
pub(crate) struct Undone<'a>(HashMap<u64, Targets<'a>>);

#[derive(Default)]
struct Targets<'a> {
    undone: HashSet<Key<'a>>,
    /// Those of undos whose results are not known.
    tried: HashSet<Key<'a>>,
}

/// The namespace, the group, the kind and the name of a target.
type Key<'a> = (&'a str, &'a str, &'a str, &'a str);

impl<'a> Undone<'a> {
    /// Collects what the undos of a log have undone. An undo whose answer is missing may have undone nothing.
    pub(crate) fn of(operations: &'a [Operation]) -> Self {
        let mut all: HashMap<u64, Targets<'a>> = HashMap::new();
        for operation in operations {
            let Some(number) = operation.undoes else { continue };
            let Targets { undone, tried } = all.entry(number).or_default();
            for change in &operation.targets {
                let known = if change.after == State::Unknown { &mut *tried } else { &mut *undone };
                known.insert(key(change));
            }
        }
        Self(all)
    }

    /// The number of an operation's targets that later operations have undone.
    pub(crate) fn count(&self, operation: &Operation) -> usize {
        operation.targets.iter().filter(|change| self.includes(operation, change)).count()
    }

    fn includes(&self, operation: &Operation, change: &TargetChange) -> bool {
        self.0.get(&operation.number).is_some_and(|targets| targets.undone.contains(&key(change)))
    }

    fn is_tried(&self, operation: &Operation, change: &TargetChange) -> bool {
        self.0.get(&operation.number).is_some_and(|targets| targets.tried.contains(&key(change)))
    }
}

fn key(change: &TargetChange) -> Key<'_> {
    (&change.namespace, &change.group, &change.kind, &change.name)
}

/// Finds the last operation of a user in a cluster that is not undone, with the targets that are left to undo.
///
/// An undo of an operation is none itself, so that repeated undos walk back. After an undo that was done only in part,
/// the rest comes next, and so does what an undo without an answer has tried.
pub(crate) fn find(operations: &[Operation], cluster: &Cluster, user: &str) -> Option<Operation> {
    let undone = Undone::of(operations);
    let mut own = operations.iter().rev().filter(|it| it.undoes.is_none() && it.is_of(cluster, user));
    let operation = own.find(|it| undone.count(it) < it.targets.len())?;
    let mut rest = operation.clone();
    rest.targets.retain(|change| !undone.includes(operation, change));
    for change in &mut rest.targets {
        change.is_tried = undone.is_tried(operation, change);
    }
    Some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    /// An operation: its number, the one that it undoes, its targets, and its cluster.
    fn operation(number: u64, undoes: Option<u64>, targets: &str, cluster: &str) -> Operation {
        let target = |name: &str| TargetChange {
            namespace: "shop".to_owned(),
            group: "apps".to_owned(),
            kind: "Deployment".to_owned(),
            name: name.to_owned(),
            before: State::Unknown,
            after: State::Unmanaged(Vec::new()),
            is_tried: false,
        };
        Operation {
            number,
            at: jiff::Timestamp::UNIX_EPOCH,
            command: String::new(),
            context: String::new(),
            cluster: Cluster { uid: Some(cluster.to_owned()), address: String::new() },
            user: "alice".to_owned(),
            undoes,
            targets: targets.split_whitespace().map(target).collect(),
        }
    }

    /// An undo whose answer is missing.
    fn unanswered(number: u64, undoes: u64, targets: &str) -> Operation {
        let mut undo = operation(number, Some(undoes), targets, "one");
        undo.targets.iter_mut().for_each(|change| change.after = State::Unknown);
        undo
    }

    #[test]
    fn what_an_undo_without_an_answer_has_tried_is_marked() {
        let log = [operation(1, None, "a b c", "one"), operation(2, Some(1), "a", "one"), unanswered(3, 1, "b")];
        let cluster = Cluster { uid: Some("one".to_owned()), address: String::new() };
        let found = find(&log, &cluster, "alice").unwrap();
        let marks: Vec<_> = found.targets.iter().map(|change| (change.name.as_str(), change.is_tried)).collect();
        assert_eq!(marks, [("b", true), ("c", false)]);
    }

    #[test]
    fn repeated_undos_walk_back() {
        struct Row {
            name: &'static str,
            log: Vec<Operation>,
            /// The number of the operation to undo, and the targets that are left.
            found: Option<(u64, &'static str)>,
        }
        let log = |rest: Vec<Operation>| {
            let mut log = vec![operation(1, None, "a", "one"), operation(2, None, "a b", "one")];
            log.extend(rest);
            log
        };
        for Row { name, log, found } in [
            Row { name: "the last", log: log(Vec::new()), found: Some((2, "a b")) },
            Row { name: "undone", log: log(vec![operation(3, Some(2), "a b", "one")]), found: Some((1, "a")) },
            Row { name: "undone without an answer", log: log(vec![unanswered(3, 2, "a b")]), found: Some((2, "a b")) },
            Row {
                name: "undone at the second try",
                log: log(vec![unanswered(3, 2, "a b"), operation(4, Some(2), "a b", "one")]),
                found: Some((1, "a")),
            },
            Row { name: "undone in part", log: log(vec![operation(3, Some(2), "b", "one")]), found: Some((2, "a")) },
            Row {
                name: "all undone",
                log: log(vec![operation(3, Some(2), "a b", "one"), operation(4, Some(1), "a", "one")]),
                found: None,
            },
            Row {
                name: "a new operation after an undo",
                log: log(vec![operation(3, Some(2), "a b", "one"), operation(4, None, "c", "one")]),
                found: Some((4, "c")),
            },
            Row { name: "another cluster", log: log(vec![operation(3, None, "c", "two")]), found: Some((2, "a b")) },
            Row {
                name: "another user",
                log: log(vec![Operation { user: "bob".to_owned(), ..operation(3, None, "c", "one") }]),
                found: Some((2, "a b")),
            },
            Row {
                name: "a user who was not recorded",
                log: log(vec![Operation { user: String::new(), ..operation(3, None, "c", "one") }]),
                found: Some((3, "c")),
            },
            Row { name: "empty", log: Vec::new(), found: None },
        ] {
            let cluster = Cluster { uid: Some("one".to_owned()), address: String::new() };
            let operation = find(&log, &cluster, "alice");
            let found_names =
                |it: &Operation| it.targets.iter().map(|change| change.name.as_str()).collect::<Vec<_>>().join(" ");
            let shown = operation.as_ref().map(|it| (it.number, found_names(it)));
            assert_eq!(shown, found.map(|(number, targets)| (number, targets.to_owned())), "{name}");
        }
        let half = log(vec![operation(3, Some(2), "b", "one")]);
        let undone = Undone::of(&half);
        assert_eq!((undone.count(&half[1]), undone.count(&half[0])), (1, 0));
    }

    #[test]
    fn a_target_is_undone_only_if_all_of_it_is_the_same() {
        let done = operation(1, None, "a", "one");
        let target = done.targets[0].clone();
        let of = |text: &str| text.to_owned();
        for (name, undone, count) in [
            ("the same", target.clone(), 1),
            ("another namespace", TargetChange { namespace: of("test"), ..target.clone() }, 0),
            ("another group", TargetChange { group: of("example.com"), ..target.clone() }, 0),
            ("another kind", TargetChange { kind: of("StatefulSet"), ..target.clone() }, 0),
            ("another name", TargetChange { name: of("b"), ..target }, 0),
        ] {
            let undo = Operation { targets: vec![undone], ..operation(2, Some(1), "", "one") };
            let log = [done.clone(), undo];
            assert_eq!(Undone::of(&log).count(&log[0]), count, "{name}");
        }
    }
}
