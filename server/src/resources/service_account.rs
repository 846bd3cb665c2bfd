//! The groups of service accounts, which follow from their names. Client certificates do not carry them.

/// The prefix of the user names of service accounts. Their namespace and their name follow.
const PREFIX: &str = "system:serviceaccount:";

/// The groups that Kubernetes gives to a service account; none for any other user.
pub(crate) fn service_account_groups(user: &str) -> Vec<String> {
    match user.strip_prefix(PREFIX).and_then(|account| account.split_once(':')) {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains(':') => {
            vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")]
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_service_accounts_have_their_groups() {
        let shop = vec!["system:serviceaccounts".to_owned(), "system:serviceaccounts:shop".to_owned()];
        for (user, expected) in [
            ("system:serviceaccount:shop:ci", shop),
            ("system:serviceaccount:shop", Vec::new()),
            ("system:serviceaccount::ci", Vec::new()),
            ("system:serviceaccount:shop:", Vec::new()),
            ("system:serviceaccount:shop:a:b", Vec::new()),
            ("alice", Vec::new()),
        ] {
            assert_eq!(service_account_groups(user), expected, "{user}");
        }
    }
}
