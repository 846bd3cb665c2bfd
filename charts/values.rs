//! Documents the chart's values from the comments in values.yaml. `make chart` runs it.
//!
//! It writes the table in the chart's README.md, below its mark, and the descriptions in values.schema.json.

use std::{env, fs, path::Path};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// Separates the generated table in README.md from the text above it, which is written by hand.
const MARK: &str = "<!-- From here on written by `make chart`, from values.yaml. -->\n";

fn main() -> Result<()> {
    let folder = env::args().nth(1).context("the folder of the chart is missing")?;
    let folder = Path::new(&folder);
    let [values, schema, readme] = ["values.yaml", "values.schema.json", "README.md"].map(|name| folder.join(name));
    let text = fs::read_to_string(values)?;
    let comments = comments(&text);

    let mut described: Value = serde_json::from_str(&fs::read_to_string(&schema)?)?;
    describe(&mut described, "", &comments);
    let table = table(&comments, &described, &serde_yaml::from_str(&text)?)?;
    fs::write(schema, serde_json::to_string_pretty(&described)? + "\n")?;

    let text = fs::read_to_string(&readme)?;
    let (by_hand, _) = text.split_once(MARK).context("README.md has lost its mark")?;
    fs::write(readme, format!("{by_hand}{MARK}\n{table}"))?;
    Ok(())
}

/// Returns the comment right above each key, in the order of the file. A key is a path, such as `image.tag`.
fn comments(text: &str) -> Vec<(String, String)> {
    let (mut comments, mut comment) = (Vec::new(), Vec::new());
    let mut path = Vec::new();
    for line in text.lines() {
        let content = line.trim_start();
        if let Some(words) = content.strip_prefix("# ") {
            comment.push(words);
        } else if let Some((key, _)) = content.split_once(':') {
            path.truncate((line.len() - content.len()) / 2);
            path.push(key);
            comments.push((path.join("."), std::mem::take(&mut comment).join(" ")));
        } else {
            comment.clear();
        }
    }
    comments
}

/// Writes the comments into the schema, as the descriptions of its properties.
fn describe(schema: &mut Value, path: &str, comments: &[(String, String)]) {
    if let Some((_, comment)) = comments.iter().find(|(key, _)| key == path) {
        schema["description"] = comment.as_str().into();
    }
    for (name, property) in schema.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        describe(property, &path, comments);
    }
}

/// Lists the values with their defaults, without the groups of values.
fn table(comments: &[(String, String)], schema: &Value, defaults: &Value) -> Result<String> {
    let mut table = "| value | default | |\n|---|---|---|\n".to_owned();
    for (path, comment) in comments {
        let in_schema = path.split('.').try_fold(schema, |schema, name| schema.get("properties")?.get(name));
        let Some(in_schema) = in_schema else { continue };
        let default = path.split('.').try_fold(defaults, |value, name| value.get(name)).context("no default")?;
        if is_group(in_schema, default) {
            continue;
        }
        let row = format!("| `{path}` | `{default}` | {comment} |\n");
        ensure!(row.matches('|').count() == 4, "a | in {path} would end its cell");
        table.push_str(&row);
    }
    Ok(table)
}

/// Whether a value is a group of values, which have rows instead: the schema gives it properties, and values.yaml sets
/// some of them. An object that is empty by default, such as a selector, needs a row of its own.
fn is_group(schema: &Value, default: &Value) -> bool {
    let properties = schema.get("properties").and_then(Value::as_object);
    properties.into_iter().flatten().any(|(name, _)| default.get(name).is_some())
}
