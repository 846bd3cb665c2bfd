//! The user that the flags `--as`, `--as-group`, `--as-uid` and `--as-user-extra` ask the API server to take the caller
//! for.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use crate::program::quote;

/// An identity that the caller takes on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Impersonation {
    pub(crate) user: String,
    pub(crate) groups: Vec<String>,
    pub(crate) uid: String,
    pub(crate) extra: BTreeMap<String, Vec<String>>,
}

impl Impersonation {
    /// The flags that name this identity, for a shell.
    pub(crate) fn flags(&self) -> String {
        let groups = self.groups.iter().map(|group| ("--as-group", group.clone()));
        let extra =
            self.extra.iter().flat_map(|(key, values)| values.iter().map(move |value| format!("{key}={value}")));
        let flags = [("--as", self.user.clone())]
            .into_iter()
            .chain(groups)
            .chain([("--as-uid", self.uid.clone())])
            .chain(extra.map(|field| ("--as-user-extra", field)));
        let given = flags.filter(|(_, value)| !value.is_empty());
        given.map(|(flag, value)| format!("{flag}={}", quote(&value))).collect::<Vec<_>>().join(" ")
    }
}

/// The name of its login in the configuration file. The order of the groups does not matter, and neither do extra
/// fields, which no certificate holds.
impl fmt::Display for Impersonation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut groups: Vec<_> = self.groups.iter().map(String::as_str).collect();
        groups.sort_unstable();
        groups.dedup();
        f.write_str(&part(&self.user))?;
        if !groups.is_empty() {
            let groups: Vec<_> = groups.into_iter().map(part).collect();
            write!(f, " groups={}", groups.join(","))?;
        }
        if !self.uid.is_empty() {
            write!(f, " uid={}", part(&self.uid))?;
        }
        Ok(())
    }
}

/// A part of the name of a login, quoted if it could be taken for several.
fn part(text: &str) -> Cow<'_, str> {
    if text.contains([' ', ',', '=', '"']) { format!("{text:?}").into() } else { text.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_has_a_name_and_its_flags() {
        for (user, groups, uid, name, flags) in [
            ("alice", vec![], "", "alice", "--as=alice"),
            (
                "alice",
                vec!["b", "a", "b"],
                "7",
                "alice groups=a,b uid=7",
                "--as=alice --as-group=b --as-group=a --as-group=b --as-uid=7",
            ),
            (
                "system:serviceaccount:shop:ci",
                vec![],
                "",
                "system:serviceaccount:shop:ci",
                "--as=system:serviceaccount:shop:ci",
            ),
            ("a b'c", vec![], "", "\"a b'c\"", r"--as='a b'\''c'"),
            ("alice", vec!["a,b"], "", "alice groups=\"a,b\"", "--as=alice --as-group=a,b"),
            ("alice groups=a", vec![], "", "\"alice groups=a\"", "--as='alice groups=a'"),
        ] {
            let groups = groups.into_iter().map(str::to_owned).collect();
            let extra = BTreeMap::new();
            let identity = Impersonation { user: user.to_owned(), groups, uid: uid.to_owned(), extra };
            assert_eq!((identity.to_string().as_str(), identity.flags().as_str()), (name, flags));
        }
        let extra = BTreeMap::from([("scopes".to_owned(), vec!["a".to_owned(), "b c".to_owned()])]);
        let identity = Impersonation { user: "alice".to_owned(), extra, ..Impersonation::default() };
        assert_eq!(identity.to_string(), "alice");
        assert_eq!(identity.flags(), "--as=alice --as-user-extra=scopes=a --as-user-extra='scopes=b c'");
    }
}
