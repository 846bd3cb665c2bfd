use super::*;

fn parse(text: &str, source: CountSource) -> Result<Vec<(String, Count)>, Error> {
    let words: Vec<_> = text.split_whitespace().map(str::to_owned).collect();
    let assignments = super::parse(&words, source)?;
    Ok(assignments.into_iter().map(|it| (it.target.to_string(), it.count)).collect())
}

struct Accepted {
    words: &'static str,
    source: CountSource,
    web: Count,
    db: Option<Count>,
}

#[test]
fn each_form_says_which_count_is_for_which_target() {
    use Count::{Current, Exactly, More, Percent, Times};
    use CountSource::{Arguments, Flag};
    let table = [
        Accepted { words: "web 3", source: Arguments, web: Exactly(3), db: None },
        Accepted { words: "web 0", source: Arguments, web: Exactly(0), db: None },
        Accepted { words: "web =2", source: Arguments, web: Exactly(2), db: None },
        Accepted { words: "web +3", source: Arguments, web: More(3), db: None },
        Accepted { words: "web x2", source: Arguments, web: Times(2), db: None },
        Accepted { words: "web=3", source: Arguments, web: Exactly(3), db: None },
        Accepted { words: "web=+3 sts/db=50%", source: Arguments, web: More(3), db: Some(Percent(50)) },
        Accepted { words: "web=3 sts/db=0", source: Arguments, web: Exactly(3), db: Some(Exactly(0)) },
        Accepted { words: "deployment web 3", source: Arguments, web: Exactly(3), db: None },
        Accepted { words: "deploy web x2", source: Arguments, web: Times(2), db: None },
        Accepted { words: "deployment web", source: Flag(Exactly(3)), web: Exactly(3), db: None },
        Accepted { words: "web sts/db", source: Flag(Exactly(5)), web: Exactly(5), db: Some(Exactly(5)) },
        Accepted { words: "web sts/db", source: Flag(More(1)), web: More(1), db: Some(More(1)) },
        Accepted { words: "web sts/db", source: Flag(Current), web: Current, db: Some(Current) },
    ];
    for Accepted { words, source, web, db } in table {
        let mut expected = vec![("deployment.apps/web".to_owned(), web)];
        expected.extend(db.map(|replicas| ("statefulset.apps/db".to_owned(), replicas)));
        assert_eq!(parse(words, source), Ok(expected), "{words}");
    }
    let one = |words, source| parse(words, source).unwrap().remove(0);
    assert_eq!(one("sts 3 4", Arguments), ("statefulset.apps/3".to_owned(), Exactly(4)), "a name may be a number");
    assert_eq!(one("sts 3", Flag(Exactly(4))), ("statefulset.apps/3".to_owned(), Exactly(4)));
    assert_eq!(one("x2", Flag(Exactly(4))), ("deployment.apps/x2".to_owned(), Exactly(4)));
    assert_eq!(one("rollout web 3", Arguments), ("rollout/web".to_owned(), Exactly(3)));
    assert_eq!(one("rollouts.argoproj.io web 2", Arguments), ("rollouts.argoproj.io/web".to_owned(), Exactly(2)));
}

struct Refused {
    words: &'static str,
    source: CountSource,
    error: &'static str,
}

#[test]
fn anything_else_is_refused() {
    use CountSource::{Arguments, Flag};
    let current = Flag(Count::Current);
    let flag = Flag(Count::Exactly(4));
    let refused = |words, source, error| Refused { words, source, error };
    let table = [
        refused("", Arguments, "no count is given for "),
        refused("web", Arguments, "no count is given for web"),
        refused("deployment", Arguments, "no count is given for deployment"),
        refused("deployment 3", Arguments, "\"deployment\" is a kind, not the name of a target"),
        refused("deployment=3", Arguments, "\"deployment\" is a kind, not the name of a target"),
        refused("deployment web=3", Arguments, "\"deployment\" names no count, as the other words do"),
        refused(
            "deployment a b 3",
            Arguments,
            "\"deployment a b 3\" is neither a TARGET and its COUNT nor TARGET=COUNT...",
        ),
        refused("deployment", flag, "\"deployment\" is a kind, not the name of a target"),
        refused("web 3", flag, "\"3\" names a count, and so does a flag"),
        refused("web +3", current, "\"+3\" names a count, and so does a flag"),
        refused("pods web 3", Arguments, "\"pods\" is a kind whose objects have no count to hold"),
        refused("web db api", Arguments, "no count is given for web, db, api"),
        refused("web 3 db", Arguments, "\"web 3 db\" is neither a TARGET and its COUNT nor TARGET=COUNT..."),
        refused("3", Arguments, "\"3\" is neither a TARGET and its COUNT nor TARGET=COUNT..."),
        refused("web three", Arguments, "\"three\" is not a count of replicas"),
        refused("web -1", Arguments, "\"-1\" is not a count of replicas"),
        refused("web=", Arguments, "\"\" is not a count of replicas"),
        refused("web=99999999999", Arguments, "\"99999999999\" is not a count of replicas"),
        refused("web=3 db", Arguments, "\"db\" names no count, as the other words do"),
        refused("web=3", flag, "\"web=3\" names a count, and so does a flag"),
        refused("web=3", current, "\"web=3\" names a count, and so does a flag"),
        refused("web=3 deploy/web=4", Arguments, "deployment.apps/web is named twice"),
    ];
    for Refused { words, source, error } in table {
        assert_eq!(parse(words, source).unwrap_err().to_string(), error, "{words}");
    }
    assert!(matches!(parse("we_b 3", Arguments), Err(Error::Words(_))));
}
