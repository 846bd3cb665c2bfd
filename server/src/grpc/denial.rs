//! The refusal of an action that RBAC does not allow, with the command that would allow it.

use std::fmt;

use contract::names::GROUP;

use super::action::Action;

/// An action that was refused to a user.
#[derive(Clone, Debug)]
pub(super) struct Denial {
    pub(super) user: String,
    pub(super) action: Action,
    /// Whether the server serves one namespace only. The chart then installs its roles as Roles of that namespace.
    pub(super) single_namespace: bool,
}

/// Writes the refusal, and the command that would end it.
impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.user.is_empty() {
            return f.write_str("the client certificate names no user: its common name is empty");
        }
        let Action { verb, namespace, name, .. } = &self.action;
        write!(f, "user {:?} cannot {verb} {}", self.user, self.action.resource_and_group())?;
        if !name.is_empty() {
            write!(f, " {name:?}")?;
        }
        match namespace.as_str() {
            "" => f.write_str(" in all namespaces")?,
            namespace => write!(f, " in namespace {namespace:?}")?,
        }
        write!(f, "; to allow it: {}", self.remedy())
    }
}

impl Denial {
    /// The metadata of the refusal's ErrorInfo.
    pub(super) fn metadata(&self) -> [(&'static str, String); 4] {
        let Action { verb, namespace, .. } = &self.action;
        [
            ("user", self.user.clone()),
            ("verb", (*verb).to_owned()),
            ("resource", self.action.resource_and_group()),
            ("namespace", namespace.clone()),
        ]
    }

    fn remedy(&self) -> String {
        let role = match (&*self.action.group, self.action.verb) {
            (GROUP, "get" | "list" | "watch") => "replica-count-manager-viewer",
            (GROUP, _) => "replica-count-manager-editor",
            _ => "view",
        };
        let (binding, place) = match self.action.namespace.as_str() {
            "" => ("clusterrolebinding", String::new()),
            namespace => ("rolebinding", format!(" --namespace={namespace}")),
        };
        let kind = if self.single_namespace && role != "view" { "role" } else { "clusterrole" };
        let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
        let name: String = self.user.chars().take(40).map(letter).collect();
        let (name, user) = (name.trim_matches('-'), self.user.replace('\'', r"'\''"));
        format!("kubectl create {binding} {name}-{role}{place} --{kind}={role} --user='{user}'")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::TargetKind;

    fn denial(user: &str, action: Action, single_namespace: bool) -> String {
        Denial { user: user.into(), action, single_namespace }.to_string()
    }

    #[test]
    fn a_denial_says_who_lacks_what_where_and_what_would_grant_it() {
        let set = || Action::on_replica_counts("update", "shop", "deployment.web");
        assert_eq!(
            denial("alice@example.com", set(), false),
            "user \"alice@example.com\" cannot update replicacounts.replica-count-manager.io \"deployment.web\" in \
             namespace \"shop\"; to allow it: kubectl create rolebinding alice-example-com-replica-count-manager-editor --namespace=shop \
             --clusterrole=replica-count-manager-editor --user='alice@example.com'"
        );
        assert!(denial("alice", set(), true).contains(" --role=replica-count-manager-editor "));
        assert!(denial("o'neil", Action::on_replica_counts("list", "", ""), false).ends_with(
            "in all namespaces; to allow it: kubectl create clusterrolebinding o-neil-replica-count-manager-viewer \
             --clusterrole=replica-count-manager-viewer --user='o'\\''neil'"
        ));
        assert!(denial("", set(), false).contains("names no user"));
        let controllers = TargetKind::built_in().iter().find(|kind| kind.group_kind.api_group().is_empty()).unwrap();
        assert!(
            denial("alice", Action::list_targets(controllers, "shop"), false)
                .starts_with("user \"alice\" cannot list replicationcontrollers in namespace \"shop\"; to allow it: ")
        );
    }
}
