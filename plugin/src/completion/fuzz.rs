//! Command lines that are being typed.

use clap::Command;

use super::{
    line::{Line, Place},
    show, targets,
    values::Answer,
};
use crate::cli;

fn program() -> Command {
    let mut program = cli::command();
    program.build();
    program
}

#[test]
fn no_command_line_makes_completion_panic() {
    let seeds =
        ["set\nweb=3\n-n\nshop\nap", "list\n-Ao\nwi", "set\nsts\ndb\n--for=2", "get\nsts\n--\n-x", "config\nset\n"];
    let words = ["\n", "--", "=", "-", "/", "--dry-run", "-o", "--as-group", "\n\n"];
    let program = program();
    fuzz::target("completion").seeds(seeds).words(words).text(|text| {
        let words: Vec<_> = text.split('\n').map(str::to_owned).collect();
        let line = Line::parse(&program, &words);
        assert!(words.last().is_some_and(|last| last.ends_with(line.current)));
        let expected = targets::expected(&line, usize::MAX);
        let answer = show(Answer::Candidates(targets::candidates(&[], &expected, &line)), line.current);
        assert_eq!(answer, ":4\n");
        drop(line.connection());
        !matches!(line.place, Place::Nothing)
    });
}
