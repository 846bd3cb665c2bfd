//! The words of `kubectl replicas set`.

use super::{Count, parse};

#[test]
fn every_assignment_has_a_count_where_the_words_name_it() {
    let seeds = ["web 3", "web=3 sts/db=0", "web sts/db", "widgets.example.com/x=2147483647"];
    fuzz::target("assignments").seeds(seeds).words([" ", "=", "/", "sts/", "-1"]).text(|text| {
        let words: Vec<_> = text.split(' ').map(str::to_owned).collect();
        let accepted = [Count::InWords, Count::Given(5), Count::Current].map(|count| match parse(&words, count) {
            Ok(assignments) => {
                assert!(assignments.iter().all(|one| one.replicas.is_none_or(|replicas| replicas >= 0)));
                assert!(assignments.iter().all(|one| one.replicas.is_none() == (count == Count::Current)));
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
