//! The fields of the CRD, from the chart's file.

use anyhow::{Context, Result};
use serde_json::Value;

use crate::markdown::{cell, escape};

/// The CRD, which `make chart` writes from the server's types.
const CRD: &str = include_str!("../charts/replica-count-manager/files/crd.yaml");

/// Lists the fields of spec and status, and the rules that the API server checks.
pub fn section() -> Result<String> {
    let crd: Value = serde_yaml::from_str(CRD).context("the CRD is not YAML")?;
    let schema = crd.pointer("/spec/versions/0/schema/openAPIV3Schema").context("the CRD has no schema")?;
    let mut text = "`apiVersion: replica-count-manager.io/v1`, `kind: ReplicaCount`, short `rcount`. It is in the \
                    namespace of its target. [examples](../examples/README.md) has some to copy.\n"
        .to_owned();
    for (part, about) in
        [("spec", "What should hold."), ("status", "What the server observed. Only the server writes it.")]
    {
        let mut rows = String::new();
        add_fields(&schema["properties"][part], part, &mut rows);
        text += &format!("\n### {part}\n\n{about}\n\n| field | type | |\n|---|---|---|\n{rows}");
    }
    let mut rules = Vec::new();
    add_rules(schema, &mut rules);
    text += "\n### Rules\n\nThe API server refuses an object that breaks one of them, from any writer:\n\n";
    Ok(text + &rules.concat())
}

/// Adds a row for each field, and for those below it. The conditions are those of Kubernetes, with a page of their own.
fn add_fields(schema: &Value, path: &str, rows: &mut String) {
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        let required = if required.iter().any(|it| it == name) { ", required" } else { "" };
        let about = cell(field["description"].as_str().unwrap_or_default());
        *rows += &format!("| `{path}` | {}{required}{} | {about} |\n", type_of(field), bounds(field));
        if name != "conditions" {
            add_fields(field, &path, rows);
            add_fields(&field["items"], &format!("{path}[]"), rows);
        }
    }
}

fn type_of(field: &Value) -> String {
    match (field["type"].as_str().unwrap_or_default(), field["format"].as_str()) {
        ("array", _) => format!("list of {}s", type_of(&field["items"])),
        ("string", Some("date-time")) => "time".to_owned(),
        (name, _) => name.to_owned(),
    }
}

fn bounds(field: &Value) -> String {
    let number = |name: &str| field[name].as_f64();
    let mut bounds = match (number("minLength"), number("maxLength")) {
        (Some(least), Some(most)) => format!(", {least} to {most} characters"),
        (None, Some(most)) => format!(", at most {most} characters"),
        _ => String::new(),
    };
    if let Some(least) = number("minimum") {
        bounds += &format!(", at least {least}");
    }
    bounds
}

/// Adds the messages of all rules, the outermost first. The status repeats a rule of the spec.
fn add_rules(schema: &Value, rules: &mut Vec<String>) {
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        let rule = format!("- {}\n", escape(rule["message"].as_str().unwrap_or_default()));
        if !rules.contains(&rule) {
            rules.push(rule);
        }
    }
    for field in schema["properties"].as_object().into_iter().flat_map(|fields| fields.values()) {
        add_rules(field, rules);
    }
}
