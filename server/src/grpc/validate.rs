//! Requests as they are meant: what comes off the wire is checked here, once.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{error::Error, selector::Selector};
use crate::{
    index::TargetSnapshot,
    resources::{GroupKind, TargetKey, parse_resource_version},
};
use contract::replicas::v1;

/// Entries in a page of a listing where the caller names no number.
const DEFAULT_PAGE_SIZE: usize = 500;

/// The most entries in a page.
const MAX_PAGE_SIZE: usize = 5000;

/// The longest reason, in bytes.
const MAX_REASON: usize = 1024;

/// What requests are checked against.
#[derive(Clone, Debug)]
pub(super) struct RequestValidator {
    /// The only namespace that is served; `None` means all.
    pub(super) namespace: Option<String>,
    /// The largest count, in replicas.
    pub(super) max_replicas: i32,
}

/// The count that a Set asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestedCount {
    Exactly(i32),
    Current,
}

/// A checked SetReplicaCountRequest.
#[derive(Debug)]
pub(super) struct Set {
    pub(super) key: TargetKey,
    pub(super) wanted: RequestedCount,
    pub(super) expected: Option<i32>,
    pub(super) allow_missing: bool,
    pub(super) force: bool,
    pub(super) dry_run: bool,
    pub(super) until: Option<Timestamp>,
    pub(super) then_unset: bool,
    pub(super) reason: String,
}

/// Which targets a List or Watch is about.
#[derive(Debug)]
pub(super) struct Filter {
    namespace: Option<String>,
    selector: Selector,
    pub(super) all_targets: bool,
    /// The kinds whose unmanaged targets the caller may list.
    pub(super) kinds: BTreeSet<GroupKind>,
}

impl Filter {
    /// The namespace that it is about; empty means all.
    pub(super) fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or_default()
    }

    pub(super) fn selects(&self, seen: &TargetSnapshot) -> bool {
        let controlled =
            seen.key.kind.is_replica_set() && seen.target.as_ref().is_some_and(|it| it.controller.is_some());
        (seen.count.is_some() || self.all_targets && !controlled && self.kinds.contains(&seen.key.kind))
            && self.namespace.as_deref().is_none_or(|namespace| *seen.key.namespace == *namespace)
            && self.selector.matches(seen.target.as_ref().map(|target| &target.labels))
    }
}

impl RequestValidator {
    /// The target of a request.
    pub(super) fn target(&self, target: Option<v1::Target>) -> Result<TargetKey, Error> {
        let target = target.ok_or_else(|| Error::invalid("target", "must be given"))?;
        let key = TargetKey::new(&target.namespace, &target.group, &target.kind, &target.name)?;
        self.check_namespace("target.namespace", &key.namespace)?;
        Ok(key)
    }

    pub(super) fn set(&self, request: v1::SetReplicaCountRequest, now: Timestamp) -> Result<Set, Error> {
        let key = self.target(request.target)?;
        let wanted = match (request.replicas, request.current) {
            (Some(replicas), false) => RequestedCount::Exactly(self.count("replicas", replicas)?),
            (None, true) => RequestedCount::Current,
            (None, false) => {
                return Err(Error::invalid("replicas", "must be given; an absent count is not taken for 0"));
            }
            (Some(_), true) => return Err(Error::invalid("current", "cannot be combined with replicas")),
        };
        let expected = request.expected_replicas.map(|count| self.count("expected_replicas", count)).transpose()?;
        if request.reason.len() > MAX_REASON {
            let problem = format!("is {} bytes long: the most is {MAX_REASON}", request.reason.len());
            return Err(Error::invalid("reason", problem));
        }
        let until = request.until.map(|until| future(until, now)).transpose()?;
        if request.then_unset && until.is_none() {
            return Err(Error::invalid("then_unset", "needs until"));
        }
        if until.is_some() && wanted == RequestedCount::Current {
            return Err(Error::invalid("current", "cannot be combined with until"));
        }
        Ok(Set {
            key,
            wanted,
            expected,
            allow_missing: request.allow_missing,
            force: request.force,
            dry_run: request.dry_run,
            until,
            then_unset: request.then_unset,
            reason: request.reason,
        })
    }

    pub(super) fn filter(&self, namespace: String, selector: &str, all_targets: bool) -> Result<Filter, Error> {
        let asked = Some(namespace).filter(|namespace| !namespace.is_empty());
        if let Some(asked) = &asked {
            self.check_namespace("namespace", asked)?;
        }
        let selector = selector.parse().map_err(|problem: String| Error::invalid("label_selector", problem))?;
        let namespace = asked.or_else(|| self.namespace.clone());
        Ok(Filter { namespace, selector, all_targets, kinds: BTreeSet::new() })
    }

    fn count(&self, field: &'static str, count: i32) -> Result<i32, Error> {
        if count < 0 {
            Err(Error::invalid(field, format!("must not be negative, and is {count}")))
        } else if count > self.max_replicas {
            let problem = format!("must be at most {}, the server's MAX_REPLICAS, and is {count}", self.max_replicas);
            Err(Error::invalid(field, problem))
        } else {
            Ok(count)
        }
    }

    fn check_namespace(&self, field: &'static str, asked: &str) -> Result<(), Error> {
        match &self.namespace {
            Some(served) if served != asked => {
                Err(Error::invalid(field, format!("{asked:?} is not served: this server manages {served:?} only")))
            }
            _ => Ok(()),
        }
    }
}

pub(super) fn page_size(size: i32) -> Result<usize, Error> {
    match usize::try_from(size) {
        Ok(0) => Ok(DEFAULT_PAGE_SIZE),
        Ok(size) => Ok(size.min(MAX_PAGE_SIZE)),
        Err(_) => Err(Error::invalid("page_size", format!("must not be negative, and is {size}"))),
    }
}

/// The key that a page starts after: its parts, with slashes between them.
pub(super) fn page_token(token: &str) -> Result<Option<TargetKey>, Error> {
    if token.is_empty() {
        return Ok(None);
    }
    // Not checked further: a target that is only listed may have a name that cannot be managed.
    match token.split('/').collect::<Vec<_>>()[..] {
        [namespace, kind, group, name] => {
            Ok(Some(TargetKey { namespace: namespace.into(), kind: GroupKind::new(kind, group), name: name.into() }))
        }
        _ => Err(Error::invalid("page_token", "is none that this server gave")),
    }
}

pub(super) fn to_page_token(key: &TargetKey) -> String {
    format!("{}/{}/{}/{}", key.namespace, key.kind.kind, key.kind.group, key.name)
}

pub(super) fn min_resource_version(version: &str) -> Result<Option<u64>, Error> {
    match (version, parse_resource_version(version)) {
        ("", _) => Ok(None),
        (_, 0) => Err(Error::invalid("min_resource_version", format!("{version:?} is no resource version"))),
        (_, version) => Ok(Some(version)),
    }
}

fn future(until: prost_types::Timestamp, now: Timestamp) -> Result<Timestamp, Error> {
    let until = Timestamp::new(until.seconds, until.nanos)
        .map_err(|_| Error::invalid("until", "is not a time between the years -9999 and 9999"))?;
    if until <= now {
        return Err(Error::invalid("until", format!("must be in the future, and is {until}")));
    }
    // Stored in whole seconds, and never shorter than asked for.
    let seconds = until.as_second() + i64::from(until.subsec_nanosecond() > 0);
    Timestamp::from_second(seconds).map_err(|_| Error::invalid("until", "is too far in the future"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rules(namespace: Option<&str>) -> RequestValidator {
        RequestValidator { namespace: namespace.map(Into::into), max_replicas: 100 }
    }

    fn request() -> v1::SetReplicaCountRequest {
        v1::SetReplicaCountRequest {
            target: Some(v1::Target { namespace: "shop".into(), name: "web".into(), ..Default::default() }),
            replicas: Some(3),
            ..Default::default()
        }
    }

    fn refusal(change: impl FnOnce(&mut v1::SetReplicaCountRequest)) -> String {
        let mut request = request();
        change(&mut request);
        rules(None).set(request, Timestamp::UNIX_EPOCH).unwrap_err().to_string()
    }

    #[test]
    fn a_refusal_names_the_field() {
        assert!(rules(None).set(request(), Timestamp::UNIX_EPOCH).is_ok());
        let target = |request: &mut v1::SetReplicaCountRequest, change: fn(&mut v1::Target)| {
            change(request.target.as_mut().unwrap());
        };
        for (message, expected) in [
            (refusal(|r| r.target = None), "target must be given"),
            (refusal(|r| r.replicas = None), "replicas must be given"),
            (refusal(|r| r.replicas = Some(-1)), "replicas must not be negative, and is -1"),
            (refusal(|r| r.replicas = Some(101)), "replicas must be at most 100"),
            (refusal(|r| r.current = true), "current cannot be combined"),
            (refusal(|r| r.expected_replicas = Some(-2)), "expected_replicas must not be negative"),
            (refusal(|r| r.reason = "x".repeat(1025)), "reason is 1025 bytes long"),
            (refusal(|r| r.then_unset = true), "then_unset needs until"),
            (refusal(|r| r.until = Some(prost_types::Timestamp::default())), "until must be in the future"),
            (refusal(|r| target(r, |t| t.name.clear())), "target.name must not be empty"),
            (refusal(|r| target(r, |t| t.name = "a_b".into())), "target.name \"a_b\" is not a DNS subdomain"),
            (
                refusal(|r| target(r, |t| t.name = "x".repeat(300))),
                "target.name is 300 characters long: the most is 242",
            ),
            (refusal(|r| target(r, |t| t.namespace = "a.b".repeat(30))), "target.namespace is 90 characters long"),
            (refusal(|r| target(r, |t| t.kind = "a/b".into())), "target.kind \"a/b\" is not a kind"),
        ] {
            assert!(message.starts_with(expected), "{message:?} should start with {expected:?}");
        }
    }

    #[test]
    fn one_namespace_is_served_where_one_is_set() {
        let rules = rules(Some("shop"));
        assert!(rules.set(request(), Timestamp::UNIX_EPOCH).is_ok());
        assert!(rules.filter("other".into(), "", false).is_err());
        assert_eq!(rules.filter(String::new(), "", false).unwrap().namespace.as_deref(), Some("shop"));
    }

    proptest! {
        #[test]
        fn a_page_token_leads_back_to_its_key(name in "[a-z]{1,9}", namespace in "[a-z]{1,9}") {
            let key = TargetKey::new(&namespace, "", "StatefulSet", &name).unwrap();
            prop_assert_eq!(page_token(&to_page_token(&key)).unwrap(), Some(key));
        }

        #[test]
        fn no_parts_of_a_key_make_the_checks_panic(
            namespace in "[a-z]{0,9}", group in "[a-z.]{0,300}", kind in "[A-Za-z]{0,300}", name in "[a-z.]{0,300}",
        ) {
            if let Ok(key) = TargetKey::new(&namespace, &group, &kind, &name) {
                prop_assert!(key.replica_count_name().len() <= 253);
            }
        }

        #[test]
        fn no_text_makes_the_checks_panic(text in any::<String>(), size in any::<i32>(), seconds in any::<i64>(), nanos in any::<i32>()) {
            let _ = page_token(&text);
            let _ = min_resource_version(&text);
            let _ = page_size(size);
            let _ = future(prost_types::Timestamp { seconds, nanos }, Timestamp::UNIX_EPOCH);
            let _ = rules(None).filter(text.clone(), &text, true);
        }
    }
}
