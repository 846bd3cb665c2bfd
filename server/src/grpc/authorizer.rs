//! Decides whether a caller may do something, by asking the API server: its RBAC decides, as it does for kubectl.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::authorization::v1::{
    LocalSubjectAccessReview, ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
    SubjectAccessReviewStatus,
};
use kube::{Api, Client, api::PostParams};

use super::{
    action::Action,
    denial::Denial,
    error::Error,
    reviews::{Answer, Reviews},
};
use crate::{
    resources::{TargetKey, is_allowed, service_account_groups},
    tls::Identity,
};

/// How old an answer may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct MaxAge {
    /// Usually.
    fresh: Duration,
    /// While the API server cannot be reached, or is too busy or too broken to answer. Reads from the index then go on
    /// while it restarts.
    stale: Duration,
}

/// For calls. A right that was taken away ends within 10 s, as DESIGN.md promises.
pub(super) const OF_CALL: MaxAge = MaxAge { fresh: Duration::from_secs(10), stale: STALE };

/// For open watches, which ask every 6 s. So a right that was taken away ends within 9 s and the time of one review.
/// What happens while reviews fail is for the watch to decide.
pub(super) const OF_WATCH: MaxAge = MaxAge { fresh: Duration::from_secs(3), stale: Duration::ZERO };

/// For the names of holders in the texts of webhooks: a write waits for the answer, so it is asked for once a minute.
const OF_HOLDER: MaxAge = MaxAge { fresh: STALE, stale: STALE };

/// How long an answer holds while the API server does not answer: much longer than a restart of it takes. Rights that
/// are taken away meanwhile, which is possible where only some reviews fail, hold as long.
pub(super) const STALE: Duration = Duration::from_secs(60);

/// Asks the API server what callers may do, and keeps its answers for a short time.
#[derive(Clone)]
pub(crate) struct Authorizer {
    client: Client,
    /// The only namespace that is served, if there is one. A Role there allows only questions about that namespace.
    namespace: Option<String>,
    reviews: Arc<Reviews>,
}

impl Authorizer {
    /// Asks with the account of a client.
    pub(crate) fn new(client: Client, namespace: Option<String>) -> Self {
        Self { client, namespace, reviews: Arc::default() }
    }

    /// Keeps so many answers at most.
    pub(crate) fn keeping(self, answers: usize) -> Self {
        Self { reviews: Arc::new(Reviews::keeping(answers)), ..self }
    }

    /// Drops the answers that do not hold any more, and the names of their users.
    pub(crate) fn forget_old(&self) {
        self.reviews.forget(STALE);
    }

    /// Whether a user may read the `ReplicaCount` of a target. Without an answer, it may not.
    pub(crate) async fn may_get(&self, user: &Arc<Identity>, key: &TargetKey) -> bool {
        let get = Action::on_replica_counts("get", &key.namespace, &key.replica_count_name());
        self.check_within(OF_HOLDER, user, get).await.is_ok()
    }

    /// Refuses an action that the caller may not do.
    pub(super) async fn check(&self, caller: &Arc<Identity>, action: Action) -> Result<(), Error> {
        self.check_within(OF_CALL, caller, action).await
    }

    /// As [`check`](Self::check), with the age of the answer. The question is the one that the API server would ask
    /// itself: with the object's name, if the action is on one object, because an authorizer may deny by name.
    pub(super) async fn check_within(
        &self,
        max_age: MaxAge,
        caller: &Arc<Identity>,
        action: Action,
    ) -> Result<(), Error> {
        if !caller.user.is_empty() && self.is_allowed(max_age, caller, &action).await? {
            return Ok(());
        }
        let (user, single_namespace) = (caller.user.clone(), self.namespace.is_some());
        Err(Error::Denied(Box::new(Denial { user, action, single_namespace })))
    }

    async fn is_allowed(&self, max_age: MaxAge, caller: &Arc<Identity>, action: &Action) -> Result<bool, Error> {
        let ask = || {
            let (authorizer, caller, action) = (self.clone(), caller.clone(), action.clone());
            async move { authorizer.ask(&caller, &action).await }
        };
        match self.reviews.answer(caller, action, max_age.fresh, ask).await {
            Ok(Answer { allowed, .. }) => Ok(allowed),
            Err((error, Some(known))) if error.is_outage() && known.at.elapsed() < max_age.stale => Ok(known.allowed),
            Err((error, _)) => Err(error),
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
        is_allowed(status)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use hyper::{Request, Response};
    use kube::client::Body;
    use parking_lot::Mutex;
    use serde_json::json;
    use tokio::time::advance;

    use super::*;
    use crate::{
        grpc::fixtures::{Answering, ApiServer, user},
        resources::fixtures::deployment_key,
    };

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
    async fn a_question_about_one_object_has_its_name_and_is_asked_once() {
        let alice = Arc::new(Identity { user: "alice".into(), groups: Vec::new() });
        let set = |name: &str| Action::on_replica_counts("update", "shop", name);
        // A right to the namespace is no answer about a name: an authorizer may deny the name.
        let (authorizer, asked) = self::authorizer(&["", "deployment.a"]);
        for _ in 0..2 {
            assert!(authorizer.check(&alice, set("deployment.a")).await.is_ok());
            assert!(matches!(authorizer.check(&alice, set("deployment.b")).await, Err(Error::Denied(_))));
            assert!(authorizer.check(&alice, set("")).await.is_ok());
        }
        assert_eq!(*asked.lock(), ["deployment.a", "deployment.b", ""]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_may_see_the_holder_of_a_count_is_asked_once_a_minute() {
        let api_server = ApiServer::new();
        let authorizer = Authorizer::new(api_server.client(), None);
        let (alice, web) = (user("alice"), deployment_key("web"));
        assert!(authorizer.may_get(&alice, &web).await);
        *api_server.answering.lock() = Answering::Deny;
        for (age, expected) in [(59, true), (1, false)] {
            advance(Duration::from_secs(age)).await;
            assert_eq!(authorizer.may_get(&alice, &web).await, expected, "{age} s later");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_old_answer_holds_only_while_the_api_server_cannot_answer() {
        struct Row {
            name: &'static str,
            answering: Answering,
            /// The age of the answer, in seconds.
            age: u64,
            /// The start of the error; empty if the answer holds.
            error: &'static str,
        }
        for Row { name, answering, age, error } in [
            Row { name: "fresh, no matter what", answering: Answering::Fail(403), age: 9, error: "" },
            Row { name: "confirmed", answering: Answering::Allow, age: 59, error: "" },
            Row { name: "revoked", answering: Answering::Deny, age: 10, error: "user" },
            Row { name: "failing", answering: Answering::Fail(500), age: 54, error: "" },
            Row { name: "undecided", answering: Answering::Undecided, age: 54, error: "" },
            Row { name: "busy", answering: Answering::Fail(429), age: 54, error: "" },
            Row { name: "silent", answering: Answering::Hang, age: 54, error: "" },
            Row { name: "failing for long", answering: Answering::Fail(500), age: 60, error: "failed to reach" },
            Row { name: "undecided for long", answering: Answering::Undecided, age: 60, error: "failed to reach" },
            Row { name: "silent for long", answering: Answering::Hang, age: 60, error: "failed to reach" },
            Row { name: "review refused", answering: Answering::Fail(403), age: 10, error: "the API server does not" },
            Row { name: "not authenticated", answering: Answering::Fail(401), age: 10, error: "the API server failed" },
        ] {
            let api_server = ApiServer::new();
            let authorizer = Authorizer::new(api_server.client(), None);
            let alice = user("alice");
            let check = || authorizer.check(&alice, Action::on_replica_counts("get", "shop", "web"));
            check().await.unwrap();
            advance(Duration::from_secs(age)).await;
            *api_server.answering.lock() = answering;
            let message = check().await.err().map(|error| error.to_string()).unwrap_or_default();
            assert!(message.starts_with(error) && message.is_empty() == error.is_empty(), "{name}: {message:?}");
        }
    }
}
