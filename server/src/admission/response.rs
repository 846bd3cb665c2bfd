//! The answer to the API server.

use json_patch::{AddOperation, Patch, PatchOperation, jsonptr::PointerBuf};
use k8s_openapi::ByteString;
use serde::Serialize;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AdmissionReview<'a> {
    api_version: &'static str,
    kind: &'static str,
    response: Response<'a>,
}

/// The response of an AdmissionReview (admission.k8s.io/v1).
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Response<'a> {
    uid: &'a str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Refusal>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<ByteString>,
}

/// Why a write is refused, as a metav1.Status.
#[derive(Serialize)]
struct Refusal {
    code: u16,
    reason: &'static str,
    message: String,
}

impl<'a> Response<'a> {
    /// Allows the write. With a warning, if there is one.
    pub(super) fn allowed(uid: &'a str, warning: Option<String>) -> Self {
        Self { uid, allowed: true, warnings: warning.into_iter().collect(), ..Self::default() }
    }

    /// Allows the write with another count in one field.
    pub(super) fn patched(uid: &'a str, warning: Option<String>, path: PointerBuf, count: i32) -> Self {
        let patch = Patch(vec![PatchOperation::Add(AddOperation { path, value: count.into() })]);
        // A patch can always be written as JSON. Without it, the write is stored, and then corrected.
        let patch = serde_json::to_vec(&patch).ok().map(ByteString);
        Self { patch_type: patch.is_some().then_some("JSONPatch"), patch, ..Self::allowed(uid, warning) }
    }

    /// Refuses the write.
    pub(super) fn denied(uid: &'a str, message: String) -> Self {
        Self { uid, status: Some(Refusal { code: 403, reason: "Forbidden", message }), ..Self::default() }
    }

    /// The body of the answer.
    pub(super) fn into_body(self) -> Vec<u8> {
        let review = AdmissionReview { api_version: "admission.k8s.io/v1", kind: "AdmissionReview", response: self };
        // It can always be written as JSON. The API server ignores an empty answer, and allows the write.
        serde_json::to_vec(&review).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::resources::FieldPath;

    fn sent(response: Response<'_>) -> Value {
        let review: Value = serde_json::from_slice(&response.into_body()).unwrap();
        assert_eq!(
            (&review["apiVersion"], &review["kind"]),
            (&json!("admission.k8s.io/v1"), &json!("AdmissionReview"))
        );
        review["response"].clone()
    }

    #[test]
    fn an_answer_has_the_form_that_the_api_server_reads() {
        let path = FieldPath::replicas().pointer();
        let warning = || Some("held".to_owned());
        for (name, response, expected) in [
            ("allowed", Response::allowed("r", None), json!({"uid": "r", "allowed": true})),
            ("warned", Response::allowed("r", warning()), json!({"uid": "r", "allowed": true, "warnings": ["held"]})),
            (
                "kept",
                Response::patched("r", warning(), path, 3),
                json!({
                    "uid": "r", "allowed": true, "warnings": ["held"], "patchType": "JSONPatch",
                    // [{"op":"add","path":"/spec/replicas","value":3}]
                    "patch": "W3sib3AiOiJhZGQiLCJwYXRoIjoiL3NwZWMvcmVwbGljYXMiLCJ2YWx1ZSI6M31d",
                }),
            ),
            (
                "denied",
                Response::denied("r", "held".to_owned()),
                json!({"uid": "r", "allowed": false, "status": {"code": 403, "reason": "Forbidden", "message": "held"}}),
            ),
        ] {
            assert_eq!(sent(response), expected, "{name}");
        }
    }
}
