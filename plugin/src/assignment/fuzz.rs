//! The arguments of `kubectl replicas set`.

use super::{CountSource, parse, parse_count};

#[test]
fn every_assignment_has_a_count_where_the_words_name_it() {
    let seeds = ["web 3", "web=3 sts/db=0", "web sts/db", "widgets.example.com/x=2147483647"];
    fuzz::target("assignments").seeds(seeds).words([" ", "=", "/", "sts/", "-1"]).text(|text| {
        let words: Vec<_> = text.split(' ').map(str::to_owned).collect();
        let sources = [CountSource::Arguments, CountSource::Flag(5), CountSource::Current];
        let accepted = sources.map(|source| match parse(&words, source) {
            Ok(assignments) => {
                let counts: Vec<_> = assignments.iter().map(|it| it.replicas).collect();
                assert!(counts.iter().all(|count| count.is_none() == (source == CountSource::Current)));
                for replicas in counts.into_iter().flatten() {
                    assert!(replicas >= 0);
                    assert_eq!(parse_count(&replicas.to_string()), Ok(replicas));
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
