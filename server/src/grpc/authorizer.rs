//! Who may: the API server decides about every call, by its RBAC, as it does about kubectl's.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use k8s_openapi::api::authorization::v1::{
    LocalSubjectAccessReview, ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
    SubjectAccessReviewStatus,
};
use kube::{Api, Client, api::PostParams};
use tokio::time::timeout;

use super::error::Error;
use crate::{
    resources::{GROUP, TargetKind},
    tls::Identity,
};

/// How long an answer holds: a right that was taken away ends after this time, also on open watches.
pub(super) const FRESH: Duration = Duration::from_secs(10);

/// How long an answer holds while the API server is out of reach: its rights cannot change meanwhile, and reads from the
/// cache go on through its restart.
const STALE: Duration = Duration::from_secs(60);

/// How many answers are kept, at a few hundred bytes each.
const MAX_ANSWERS: usize = 4096;

/// How long the API server may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Something that a caller may or may not do, in the words of RBAC.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Action {
    pub(super) verb: &'static str,
    pub(super) group: String,
    pub(super) resource: String,
    /// The namespace; empty means all.
    pub(super) namespace: String,
    /// The name; empty means any.
    pub(super) name: String,
}

/// An action that was refused, to whom, and where it would be allowed.
#[derive(Debug)]
pub(super) struct Denial {
    user: String,
    pub(super) action: Action,
    /// Whether the roles are those of one namespace.
    confined: bool,
}

impl Action {
    /// An action on ReplicaCounts.
    pub(super) fn on_counts(verb: &'static str, namespace: &str, name: &str) -> Self {
        Self {
            verb,
            group: GROUP.to_owned(),
            resource: "replicacounts".to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    /// To list the targets of a kind.
    pub(super) fn list_targets(kind: &TargetKind, namespace: &str) -> Self {
        Self {
            verb: "list",
            group: kind.group_kind.group.to_string(),
            resource: kind.plural.clone(),
            namespace: namespace.to_owned(),
            name: String::new(),
        }
    }
}

/// Asks the API server who may do what.
#[derive(Clone)]
pub(super) struct Authorizer {
    client: Client,
    /// The only namespace that is served: a Role there cannot give the right to ask about others.
    namespace: Option<String>,
    answers: Arc<Mutex<HashMap<Question, Answer>>>,
}

type Question = (Arc<Identity>, Action);

#[derive(Clone, Copy)]
struct Answer {
    allowed: bool,
    at: Instant,
}

impl Authorizer {
    pub(super) fn new(client: Client, namespace: Option<String>) -> Self {
        Self { client, namespace, answers: Arc::default() }
    }

    /// Refuses a caller who may not.
    ///
    /// Whoever may do it to every object in the namespace may do it to each: asked first, one answer holds for thousands.
    pub(super) async fn check(&self, who: &Arc<Identity>, action: Action) -> Result<(), Error> {
        if !who.user.is_empty() {
            let to_any = Action { name: String::new(), ..action.clone() };
            if self.allows(who, &to_any).await? || action != to_any && self.allows(who, &action).await? {
                return Ok(());
            }
        }
        Err(Error::Denied(Box::new(Denial { user: who.user.clone(), action, confined: self.namespace.is_some() })))
    }

    /// Whether a caller may.
    async fn allows(&self, who: &Arc<Identity>, action: &Action) -> Result<bool, Error> {
        let question = (who.clone(), action.clone());
        let known = self.answers().get(&question).copied();
        if let Some(answer) = known.filter(|answer| answer.at.elapsed() < FRESH) {
            return Ok(answer.allowed);
        }
        match timeout(TIMEOUT, self.ask(who, action)).await {
            Ok(Ok(allowed)) => {
                self.remember(question, Answer { allowed, at: Instant::now() });
                Ok(allowed)
            }
            failed => match known.filter(|answer| answer.at.elapsed() < STALE) {
                Some(answer) => Ok(answer.allowed),
                None => Err(failed.map_or_else(
                    |_| Error::Unreachable(format!("no answer within {TIMEOUT:?}")),
                    |answer| answer.err().map_or(Error::NotSynced, Error::from),
                )),
            },
        }
    }

    async fn ask(&self, who: &Identity, action: &Action) -> Result<bool, kube::Error> {
        let attributes = ResourceAttributes {
            verb: Some(action.verb.to_owned()),
            group: Some(action.group.clone()),
            resource: Some(action.resource.clone()),
            namespace: Some(action.namespace.clone()),
            name: Some(action.name.clone()),
            ..ResourceAttributes::default()
        };
        let spec = SubjectAccessReviewSpec {
            user: Some(who.user.clone()),
            groups: Some(who.groups.clone()),
            resource_attributes: Some(attributes),
            ..SubjectAccessReviewSpec::default()
        };
        let parameters = PostParams::default();
        let status: Option<SubjectAccessReviewStatus> = match &self.namespace {
            None => {
                let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
                Api::all(self.client.clone()).create(&parameters, &review).await?.status
            }
            Some(namespace) => {
                let review = LocalSubjectAccessReview { spec, ..LocalSubjectAccessReview::default() };
                let reviews: Api<LocalSubjectAccessReview> = Api::namespaced(self.client.clone(), namespace);
                reviews.create(&parameters, &review).await?.status
            }
        };
        Ok(status.is_some_and(|status| status.allowed))
    }

    fn remember(&self, question: Question, answer: Answer) {
        let mut answers = self.answers();
        if answers.len() >= MAX_ANSWERS {
            answers.retain(|_, answer| answer.at.elapsed() < FRESH);
        }
        if answers.len() >= MAX_ANSWERS {
            answers.clear();
        }
        answers.insert(question, answer);
    }

    fn answers(&self) -> std::sync::MutexGuard<'_, HashMap<Question, Answer>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes the refusal, and the command that would end it.
impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.user.is_empty() {
            return f.write_str("the client certificate names no user: its common name is empty");
        }
        let Action { verb, group, resource, namespace, name } = &self.action;
        write!(f, "user {:?} cannot {verb} {resource}.{group}", self.user)?;
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
    /// What the refusal is about, for programs.
    pub(super) fn metadata(&self) -> [(&'static str, String); 4] {
        let Action { verb, group, resource, namespace, .. } = &self.action;
        [
            ("user", self.user.clone()),
            ("verb", (*verb).to_owned()),
            ("resource", format!("{resource}.{group}")),
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
        let kind = if self.confined && role != "view" { "role" } else { "clusterrole" };
        let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
        let name: String = self.user.chars().take(40).map(letter).collect();
        let (name, user) = (name.trim_matches('-'), self.user.replace('\'', r"'\''"));
        format!("kubectl create {binding} {name}-{role}{place} --{kind}={role} --user='{user}'")
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use hyper::{Request, Response};
    use kube::client::Body;
    use serde_json::json;

    use super::*;

    fn denial(user: &str, action: Action, confined: bool) -> String {
        Denial { user: user.to_owned(), action, confined }.to_string()
    }

    /// An authorizer whose API server allows these names, and the names that it was asked about.
    fn authorizer(allowed: &'static [&'static str]) -> (Authorizer, Arc<Mutex<Vec<String>>>) {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = asked.clone();
        let answer = tower::service_fn(move |request: Request<Body>| {
            let log = log.clone();
            async move {
                let body = request.into_body().collect().await?.to_bytes();
                let review: SubjectAccessReview = serde_json::from_slice(&body)?;
                let name = review.spec.resource_attributes.unwrap().name.unwrap();
                let allowed = allowed.contains(&name.as_str());
                log.lock().unwrap().push(name);
                let answer = json!({"metadata": {}, "spec": {}, "status": {"allowed": allowed}});
                Ok::<_, tower::BoxError>(Response::new(Body::from(answer.to_string().into_bytes())))
            }
        });
        (Authorizer::new(Client::new(answer, "default"), None), asked)
    }

    #[tokio::test]
    async fn one_answer_about_a_namespace_holds_for_every_name_in_it() {
        let who = Arc::new(Identity { user: "alice".into(), groups: Vec::new() });
        let set = |name: &str| Action::on_counts("update", "shop", name);
        let (authorizer, asked) = self::authorizer(&[""]);
        for name in ["deployment.a", "deployment.b", "deployment.a"] {
            assert!(authorizer.check(&who, set(name)).await.is_ok());
        }
        assert_eq!(*asked.lock().unwrap(), [""]);
    }

    #[tokio::test]
    async fn without_a_right_to_the_namespace_each_name_is_asked_about() {
        let who = Arc::new(Identity { user: "alice".into(), groups: Vec::new() });
        let set = |name: &str| Action::on_counts("update", "shop", name);
        let (authorizer, asked) = self::authorizer(&["deployment.a"]);
        for _ in 0..2 {
            assert!(authorizer.check(&who, set("deployment.a")).await.is_ok());
            assert!(matches!(authorizer.check(&who, set("deployment.b")).await, Err(Error::Denied(_))));
        }
        assert_eq!(*asked.lock().unwrap(), ["", "deployment.a", "deployment.b"]);
    }

    #[test]
    fn a_denial_says_who_lacks_what_where_and_what_would_grant_it() {
        let set = || Action::on_counts("update", "shop", "deployment.web");
        assert_eq!(
            denial("alice@example.com", set(), false),
            "user \"alice@example.com\" cannot update replicacounts.replica-count-manager.io \"deployment.web\" in \
             namespace \"shop\"; to allow it: kubectl create rolebinding alice-example-com-replica-count-manager-editor --namespace=shop \
             --clusterrole=replica-count-manager-editor --user='alice@example.com'"
        );
        assert!(denial("alice", set(), true).contains(" --role=replica-count-manager-editor "));
        assert!(denial("o'neil", Action::on_counts("list", "", ""), false).ends_with(
            "in all namespaces; to allow it: kubectl create clusterrolebinding o-neil-replica-count-manager-viewer \
             --clusterrole=replica-count-manager-viewer --user='o'\\''neil'"
        ));
        assert!(denial("", set(), false).contains("names no user"));
    }
}
