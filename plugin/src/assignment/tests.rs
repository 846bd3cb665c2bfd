use super::*;

fn parse(text: &str, source: CountSource) -> Result<Vec<(String, Option<i32>)>, Error> {
    let words: Vec<_> = text.split_whitespace().map(str::to_owned).collect();
    let assignments = super::parse(&words, source)?;
    Ok(assignments.into_iter().map(|it| (it.target.to_string(), it.replicas)).collect())
}

struct Accepted {
    words: &'static str,
    source: CountSource,
    web: Option<i32>,
    db: Option<Option<i32>>,
}

#[test]
fn each_form_says_which_count_is_for_which_target() {
    use CountSource::{Arguments, Current, Flag};
    let table = [
        Accepted { words: "web 3", source: Arguments, web: Some(3), db: None },
        Accepted { words: "web 0", source: Arguments, web: Some(0), db: None },
        Accepted { words: "web=3", source: Arguments, web: Some(3), db: None },
        Accepted { words: "web=3 sts/db=0", source: Arguments, web: Some(3), db: Some(Some(0)) },
        Accepted { words: "web sts/db", source: Flag(5), web: Some(5), db: Some(Some(5)) },
        Accepted { words: "web sts/db", source: Current, web: None, db: Some(None) },
    ];
    for Accepted { words, source, web, db } in table {
        let mut expected = vec![("deployment.apps/web".to_owned(), web)];
        expected.extend(db.map(|replicas| ("statefulset.apps/db".to_owned(), replicas)));
        assert_eq!(parse(words, source), Ok(expected), "{words}");
    }
}

struct Refused {
    words: &'static str,
    source: CountSource,
    error: &'static str,
}

#[test]
fn anything_else_is_refused() {
    use CountSource::{Arguments, Current, Flag};
    let refused = |words, source, error| Refused { words, source, error };
    let table = [
        refused("", Arguments, "no count is given for "),
        refused("web", Arguments, "no count is given for web"),
        refused("web db api", Arguments, "no count is given for web, db, api"),
        refused("web 3 db", Arguments, "\"web 3 db\" is neither a TARGET and its COUNT nor TARGET=COUNT..."),
        refused("3", Arguments, "\"3\" is neither a TARGET and its COUNT nor TARGET=COUNT..."),
        refused("web three", Arguments, "\"three\" is not a count of replicas"),
        refused("web -1", Arguments, "\"-1\" is not a count of replicas"),
        refused("web=", Arguments, "\"\" is not a count of replicas"),
        refused("web=99999999999", Arguments, "\"99999999999\" is not a count of replicas"),
        refused("web=3 db", Arguments, "\"db\" names no count, as the other words do"),
        refused("web=3", Flag(4), "\"web=3\" names a count, and so does a flag"),
        refused("web=3", Current, "\"web=3\" names a count, and so does a flag"),
        refused("web=3 deploy/web=4", Arguments, "deployment.apps/web is named twice"),
    ];
    for Refused { words, source, error } in table {
        assert_eq!(parse(words, source).unwrap_err().to_string(), error, "{words}");
    }
    assert!(matches!(parse("we_b 3", Arguments), Err(Error::Target(_))));
}
