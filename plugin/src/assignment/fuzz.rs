//! The arguments of `kubectl replicas set`.

use super::{CountSource, parse};
use crate::count::Count;

#[test]
fn every_assignment_has_a_count_where_the_words_name_it() {
    let seeds = ["web 3", "web=3 sts/db=0", "web sts/db", "widgets.example.com/x=2147483647", "sts db +3", "web=50%"];
    fuzz::target("assignments").seeds(seeds).words([" ", "=", "/", "sts/", "-1"]).text(|text| {
        let words: Vec<_> = text.split(' ').map(str::to_owned).collect();
        let sources = [CountSource::Arguments, CountSource::Flag(Count::Exactly(5)), CountSource::Flag(Count::Current)];
        let accepted = sources.map(|source| match parse(&words, source) {
            Ok(assignments) => {
                for count in assignments.iter().map(|it| it.count) {
                    assert_eq!(count.beside(5).is_none(), source == CountSource::Flag(Count::Current));
                    assert!(count.beside(5).is_none_or(|replicas| replicas >= 0));
                }
                true
            }
            Err(error) => {
                let _ = (error.to_string(), error.hint());
                false
            }
        });
        accepted.contains(&true)
    });
}
