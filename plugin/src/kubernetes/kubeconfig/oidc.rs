//! The token of an `auth-provider: oidc`.
//!
//! kubectl exchanges the refresh token for a new token when this one has expired, and stores both in the kubeconfig. Many
//! providers accept a refresh token once. This program does not write kubeconfigs, so it leaves that to kubectl: the
//! user would be logged out otherwise.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use serde::{Deserialize, de::IntoDeserializer};
use serde_json::Value;

use super::{entries::AuthProvider, flaw::Flaw};

/// The only provider that client-go still has.
const OIDC: &str = "oidc";

/// A token that expires so soon counts as expired, as in client-go.
const MARGIN: i64 = 10;

/// Checks a provider, even if another credential comes before it.
pub(super) fn check(provider: &AuthProvider) -> Result<(), Flaw> {
    if provider.name != OIDC {
        return Err(Flaw::AuthProvider(provider.name.clone()));
    }
    match ["idp-issuer-url", "client-id"].into_iter().find(|field| text(&provider.config, field).is_empty()) {
        Some(field) => Err(Flaw::Needs("auth-provider", field)),
        None => Ok(()),
    }
}

/// The token of the provider, if it has not expired.
pub(super) fn token(provider: &AuthProvider, now: Timestamp) -> Result<String, Flaw> {
    let token = text(&provider.config, "id-token");
    let is_header = token.chars().all(|c| c.is_ascii_graphic());
    if token.is_empty() {
        return Err(Flaw::IdToken("is missing"));
    }
    let expiry = expiry(token).filter(|_| is_header).ok_or(Flaw::IdToken("is no JSON Web Token"))?;
    match now.as_second().saturating_add(MARGIN) < expiry {
        true => Ok(token.to_owned()),
        false => Err(Flaw::IdToken("has expired")),
    }
}

fn text<'a>(config: &'a BTreeMap<String, String>, field: &str) -> &'a str {
    config.get(field).map_or("", String::as_str)
}

/// When a token expires, in seconds. One that does not say so has expired.
fn expiry(token: &str) -> Option<i64> {
    let [_, payload, _] = token.split('.').collect::<Vec<_>>()[..] else { return None };
    let claims: Value = serde_json::from_slice(&decode(payload)?).ok()?;
    match claims.as_object()?.get("exp") {
        None => Some(0),
        Some(time) => time.as_i64().or_else(|| time.as_f64().map(|seconds| seconds as i64)),
    }
}

/// Decodes base64 for URLs, which is not padded.
fn decode(text: &str) -> Option<Vec<u8>> {
    let padded = format!("{}{}", text.replace('-', "+").replace('_', "/"), "=".repeat(text.len().wrapping_neg() % 4));
    let decoded: Result<ByteString, serde::de::value::Error> = ByteString::deserialize(padded.into_deserializer());
    decoded.ok().map(|bytes| bytes.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;

    /// A token with claims.
    fn jwt(claims: &str) -> String {
        let encoded = serde_json::to_value(ByteString(claims.as_bytes().to_vec())).unwrap();
        let encoded = encoded.as_str().unwrap().trim_end_matches('=').replace('+', "-").replace('/', "_");
        format!("e30.{encoded}.s3cret")
    }

    fn provider(name: &str, fields: &[(&str, &str)]) -> AuthProvider {
        let config = fields.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        AuthProvider { name: name.to_owned(), config }
    }

    #[test]
    fn a_provider_has_an_issuer_and_a_client() {
        let both = [("idp-issuer-url", "https://a"), ("client-id", "b")];
        for (name, provider, expected) in [
            ("complete", provider("oidc", &both), None),
            ("another provider", provider("gcp", &both), Some("the auth-provider \"gcp\" is not supported")),
            ("no issuer", provider("oidc", &both[1..]), Some("auth-provider needs idp-issuer-url")),
            ("no client", provider("oidc", &both[..1]), Some("auth-provider needs client-id")),
            ("nothing", provider("oidc", &[]), Some("auth-provider needs idp-issuer-url")),
        ] {
            let shown = check(&provider).err().map(|flaw| flaw.to_string());
            assert_eq!(shown.is_some(), expected.is_some(), "{name}");
            assert!(shown.is_none_or(|shown| expected.is_some_and(|part| shown.starts_with(part))), "{name}");
        }
    }

    #[test]
    fn only_a_token_that_has_not_expired_is_used() {
        let expires = |time: i64| jwt(&format!("{{\"exp\": {time}}}"));
        let (valid, soon) = (expires(NOW + 11), expires(NOW + 10));
        for (name, token, expected) in [
            ("valid", valid.clone(), None),
            ("characters of URLs", jwt(&format!("{{\"sub\": \"\u{fbff}\u{3ff}?>~\", \"exp\": {}}}", NOW + 11)), None),
            ("with fractions", jwt(&format!("{{\"exp\": {}.5}}", NOW + 11)), None),
            ("in ten seconds", soon, Some("has expired")),
            ("expired", expires(NOW - 1), Some("has expired")),
            ("no time", jwt("{}"), Some("has expired")),
            ("another time", jwt("{\"exp\": \"s3cret\"}"), Some("is no JSON Web Token")),
            ("no claims", jwt("s3cret"), Some("is no JSON Web Token")),
            ("two parts", "e30.e30".to_owned(), Some("is no JSON Web Token")),
            ("no base64", "e30.%.s3cret".to_owned(), Some("is no JSON Web Token")),
            ("a line break", format!("{valid}\n"), Some("is no JSON Web Token")),
            ("empty", String::new(), Some("is missing")),
        ] {
            let provider = provider("oidc", &[("id-token", &token), ("refresh-token", "s3cret")]);
            let found = super::token(&provider, Timestamp::from_second(NOW).unwrap());
            match expected {
                None => assert_eq!(found.unwrap(), token, "{name}"),
                Some(why) => {
                    let flaw = found.unwrap_err();
                    assert_eq!(flaw.to_string(), format!("the id-token of its auth-provider {why}"), "{name}");
                    assert!(flaw.hint().unwrap().contains("kubectl auth whoami"), "{name}");
                }
            }
        }
        let absent = super::token(&provider("oidc", &[]), Timestamp::UNIX_EPOCH).unwrap_err();
        assert_eq!(absent.to_string(), "the id-token of its auth-provider is missing");
    }
}
