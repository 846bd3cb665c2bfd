//! Decides whether a caller may do something, by asking the API server: its RBAC decides, as it does for kubectl.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use k8s_openapi::api::authorization::v1::{
    LocalSubjectAccessReview, ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
    SubjectAccessReviewStatus,
};
use kube::{Api, Client, api::PostParams};
use parking_lot::Mutex;
use tokio::time::timeout;

use super::{action::Action, denial::Denial, error::Error};
use crate::{resources::service_account_groups, tls::Identity};

/// How long an answer holds. A right that was taken away ends within this time, also on open watches: DESIGN.md
/// promises 10 s.
pub(super) const FRESH: Duration = Duration::from_secs(10);

/// How long an answer holds while the API server is out of reach. Its rights cannot change meanwhile, and reads from
/// the index go on while it restarts.
const STALE: Duration = Duration::from_secs(60);

/// The most answers that are kept, at a few hundred bytes each.
const MAX_ANSWERS: usize = 4096;

/// The longest wait for an answer: a quarter of the time that a Set or Unset may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Asks the API server what callers may do, and keeps its answers for a short time.
#[derive(Clone)]
pub(super) struct Authorizer {
    client: Client,
    /// The only namespace that is served, if there is one. A Role there allows only questions about that namespace.
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

    /// Refuses an action that the caller may not do.
    ///
    /// A caller who may do it to every object of the namespace may do it to each. That question comes first, so that
    /// one answer serves thousands of names.
    pub(super) async fn check(&self, caller: &Arc<Identity>, action: Action) -> Result<(), Error> {
        if !caller.user.is_empty() {
            let to_any = Action { name: String::new(), ..action.clone() };
            if self.is_allowed(caller, &to_any).await? || action != to_any && self.is_allowed(caller, &action).await? {
                return Ok(());
            }
        }
        let (user, single_namespace) = (caller.user.clone(), self.namespace.is_some());
        Err(Error::Denied(Box::new(Denial { user, action, single_namespace })))
    }

    async fn is_allowed(&self, caller: &Arc<Identity>, action: &Action) -> Result<bool, Error> {
        let question = (caller.clone(), action.clone());
        let known = self.answers.lock().get(&question).copied();
        if let Some(answer) = known.filter(|answer| answer.at.elapsed() < FRESH) {
            return Ok(answer.allowed);
        }
        let error = match timeout(TIMEOUT, self.ask(caller, action)).await {
            Ok(Ok(allowed)) => {
                self.remember(question, Answer { allowed, at: Instant::now() });
                return Ok(allowed);
            }
            Ok(Err(error)) => Error::from(error),
            Err(_) => Error::Unreachable(format!("no answer within {TIMEOUT:?}")),
        };
        match known.filter(|answer| answer.at.elapsed() < STALE) {
            Some(answer) => Ok(answer.allowed),
            None => Err(error),
        }
    }

    async fn ask(&self, caller: &Identity, action: &Action) -> Result<bool, kube::Error> {
        let attributes = ResourceAttributes {
            verb: Some(action.verb.to_owned()),
            group: Some(action.group.clone()),
            resource: Some(action.resource.clone()),
            namespace: Some(action.namespace.clone()),
            name: Some(action.name.clone()),
            ..ResourceAttributes::default()
        };
        let spec = SubjectAccessReviewSpec {
            user: Some(caller.user.clone()),
            groups: Some([caller.groups.clone(), service_account_groups(&caller.user)].concat()),
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
        let mut answers = self.answers.lock();
        if answers.len() >= MAX_ANSWERS {
            answers.retain(|_, answer| answer.at.elapsed() < FRESH);
        }
        if answers.len() >= MAX_ANSWERS {
            answers.clear();
        }
        answers.insert(question, answer);
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use hyper::{Request, Response};
    use kube::client::Body;
    use serde_json::json;

    use super::*;

    /// An authorizer whose API server allows these names, and the names in its questions.
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
                log.lock().push(name);
                let answer = json!({"metadata": {}, "spec": {}, "status": {"allowed": allowed}});
                Ok::<_, tower::BoxError>(Response::new(Body::from(answer.to_string().into_bytes())))
            }
        });
        (Authorizer::new(Client::new(answer, "default"), None), asked)
    }

    #[tokio::test]
    async fn one_answer_about_a_namespace_holds_for_every_name_in_it() {
        let alice = Arc::new(Identity { user: "alice".into(), groups: Vec::new() });
        let set = |name: &str| Action::on_replica_counts("update", "shop", name);
        let (authorizer, asked) = self::authorizer(&[""]);
        for name in ["deployment.a", "deployment.b", "deployment.a"] {
            assert!(authorizer.check(&alice, set(name)).await.is_ok());
        }
        assert_eq!(*asked.lock(), [""]);
    }

    #[tokio::test]
    async fn without_a_right_to_the_namespace_each_name_is_asked_about() {
        let alice = Arc::new(Identity { user: "alice".into(), groups: Vec::new() });
        let set = |name: &str| Action::on_replica_counts("update", "shop", name);
        let (authorizer, asked) = self::authorizer(&["deployment.a"]);
        for _ in 0..2 {
            assert!(authorizer.check(&alice, set("deployment.a")).await.is_ok());
            assert!(matches!(authorizer.check(&alice, set("deployment.b")).await, Err(Error::Denied(_))));
        }
        assert_eq!(*asked.lock(), ["", "deployment.a", "deployment.b"]);
    }
}
