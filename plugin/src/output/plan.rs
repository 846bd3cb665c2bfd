//! What a command is about to do, and what it has done before, as tables.

use jiff::Timestamp;

use super::{
    table::{cut, draw},
    text::{NONE, count, printable},
};
use crate::{operations::Operation, terminal, time::distance};

/// The most rows of a plan: more cannot be read before an answer. A dry run shows all of them.
const MAX_ROWS: usize = 200;

/// What a command is about to do to a target.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    pub(crate) namespace: String,
    pub(crate) target: String,
    /// The count that it has, in replicas.
    pub(crate) now: Option<i32>,
    /// The count that it gets, in replicas.
    pub(crate) new: Option<i32>,
    /// What speaks against it, or what else is to be known.
    pub(crate) note: String,
}

/// Draws a plan. `titles` are those of the two counts.
pub(crate) fn plan(rows: &[Row], titles: [&str; 2], namespaces: bool, width: Option<usize>) -> String {
    let [now, new] = titles;
    let mut header = vec!["TARGET", now, new, "NOTE"];
    if namespaces {
        header.insert(0, "NAMESPACE");
    }
    let shown = if width.is_some() { &rows[..rows.len().min(MAX_ROWS)] } else { rows };
    let row = |row: &Row| {
        let mut cells = vec![printable(&row.target), count(row.now), count(row.new), printable(&row.note)];
        if namespaces {
            cells.insert(0, printable(&row.namespace));
        }
        cells
    };
    let mut cells: Vec<_> = shown.iter().map(row).collect();
    if let Some(width) = width {
        cut(&header, &mut cells, width);
    }
    let mut text = draw(&header, cells);
    if shown.len() < rows.len() {
        text += &format!("... and {} more\n", rows.len() - shown.len());
    }
    text
}

/// Draws the operation log, the latest operation first. The numbers are those of targets that are undone.
pub(crate) fn operations(operations: &[(Operation, usize)], width: Option<usize>, now: Timestamp) -> String {
    let header = ["WHEN", "COMMAND", "TARGETS", "CONTEXT", "UNDONE"];
    let row = |(operation, undone): &(Operation, usize)| {
        let targets = operation.targets.len();
        let is_undone = match *undone {
            0 => NONE.to_owned(),
            undone if undone == targets => "yes".to_owned(),
            undone => format!("{undone} of {targets}"),
        };
        vec![
            format!("{} ago", distance(operation.at, now)),
            printable(&operation.command),
            targets.to_string(),
            printable(&operation.context),
            is_undone,
        ]
    };
    let mut cells: Vec<_> = operations.iter().rev().map(row).collect();
    if let Some(width) = width {
        // The first column is the one that `cut` keeps whole.
        cut(&header, &mut cells, width);
    }
    terminal::lines(&draw(&header, cells))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::{Cluster, State, TargetChange};

    fn rows(count: usize) -> Vec<Row> {
        let row = |index| Row {
            namespace: "shop".to_owned(),
            target: format!("deployment.apps/web-{index}"),
            now: Some(2),
            new: Some(3),
            note: if index == 0 { "HorizontalPodAutoscaler web\nscales it".to_owned() } else { String::new() },
        };
        (0..count).map(row).collect()
    }

    #[test]
    fn a_plan_has_a_row_for_each_target() {
        let expected = "\
TARGET                  NOW   NEW   NOTE
deployment.apps/web-0   2     3     HorizontalPodAutoscaler web scales it
deployment.apps/web-1   2     3     -
";
        assert_eq!(plan(&rows(2), ["NOW", "NEW"], false, None), expected);
        let with_namespaces = plan(&rows(1), ["NOW", "NEW"], true, None);
        assert!(with_namespaces.starts_with("NAMESPACE   TARGET"), "{with_namespaces}");
        let cut = plan(&rows(300), ["NOW", "NEW"], false, Some(60));
        assert!(cut.lines().count() == 202 && cut.ends_with("... and 100 more\n"), "{cut}");
        assert!(cut.lines().all(|line| line.chars().count() <= 60), "{cut}");
        assert_eq!(plan(&rows(300), ["NOW", "NEW"], false, None).lines().count(), 301);
    }

    #[test]
    fn the_log_shows_the_latest_operation_first() {
        let change = TargetChange {
            namespace: "shop".to_owned(),
            group: "apps".to_owned(),
            kind: "Deployment".to_owned(),
            name: "web".to_owned(),
            before: State::Unknown,
            after: State::Unknown,
            is_tried: false,
        };
        let operation = |second: i64, command: &str| Operation {
            number: 1,
            at: Timestamp::from_second(second).unwrap(),
            command: command.to_owned(),
            context: "prod".to_owned(),
            cluster: Cluster::default(),
            user: String::new(),
            undoes: None,
            targets: vec![change.clone(), TargetChange { name: "api".to_owned(), ..change.clone() }],
        };
        let log = [
            (operation(10, "set web=3 api=2"), 2),
            (operation(40, "unset\u{1b} web api"), 1),
            (operation(60, "adopt"), 0),
        ];
        let expected = "\
WHEN      COMMAND           TARGETS   CONTEXT   UNDONE
40s ago   adopt             2         prod      -
60s ago   unset  web api    2         prod      1 of 2
90s ago   set web=3 api=2   2         prod      yes
";
        assert_eq!(operations(&log, None, Timestamp::from_second(100).unwrap()), expected);
    }
}
