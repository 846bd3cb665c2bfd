//! Which operation an undo takes back.

use super::operation::{Cluster, Operation};

/// Finds the last operation in a cluster that is not undone, with the targets that are left to undo.
///
/// An undo of an operation is none itself, so that repeated undos walk back. After an undo that was done only in part,
/// the rest comes next.
pub(crate) fn find(operations: &[Operation], cluster: &Cluster) -> Option<Operation> {
    let mut own = operations.iter().rev().filter(|it| it.undoes.is_none() && it.cluster.is_same(cluster));
    own.find_map(|operation| {
        let mut rest = operation.clone();
        rest.targets.retain(|change| !is_undone(operations, operation, change));
        (!rest.targets.is_empty()).then_some(rest)
    })
}

/// The number of an operation's targets that later operations have undone.
pub(crate) fn count_undone(operations: &[Operation], operation: &Operation) -> usize {
    operation.targets.iter().filter(|change| is_undone(operations, operation, change)).count()
}

fn is_undone(operations: &[Operation], operation: &Operation, change: &super::operation::TargetChange) -> bool {
    let mut undos = operations.iter().filter(|it| it.undoes == Some(operation.number));
    undos.any(|undo| undo.targets.iter().any(|undone| undone.target() == change.target()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::{State, TargetChange};

    /// An operation: its number, the one that it undoes, its targets, and its cluster.
    fn operation(number: u64, undoes: Option<u64>, targets: &str, cluster: &str) -> Operation {
        let target = |name: &str| TargetChange {
            namespace: "shop".to_owned(),
            group: "apps".to_owned(),
            kind: "Deployment".to_owned(),
            name: name.to_owned(),
            before: State::Unknown,
            after: State::Unknown,
        };
        Operation {
            number,
            at: jiff::Timestamp::UNIX_EPOCH,
            command: String::new(),
            context: String::new(),
            cluster: Cluster { uid: Some(cluster.to_owned()), address: String::new() },
            undoes,
            targets: targets.split_whitespace().map(target).collect(),
        }
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
            Row { name: "empty", log: Vec::new(), found: None },
        ] {
            let cluster = Cluster { uid: Some("one".to_owned()), address: String::new() };
            let operation = find(&log, &cluster);
            let found_names =
                |it: &Operation| it.targets.iter().map(|change| change.name.as_str()).collect::<Vec<_>>().join(" ");
            let shown = operation.as_ref().map(|it| (it.number, found_names(it)));
            assert_eq!(shown, found.map(|(number, targets)| (number, targets.to_owned())), "{name}");
        }
        let half = log(vec![operation(3, Some(2), "b", "one")]);
        assert_eq!((count_undone(&half, &half[1]), count_undone(&half, &half[0])), (1, 0));
    }
}
