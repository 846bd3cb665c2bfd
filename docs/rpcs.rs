//! The gRPC services and their messages, from the descriptors of the protos.

use std::collections::HashMap;

use anyhow::{Context, Result};
use prost::Message;
use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet, ServiceDescriptorProto,
    field_descriptor_proto::{Label, Type},
};

use crate::markdown::{cell, escape};

/// The packages, the one for programs first.
const PACKAGES: [&str; 2] = ["replicas.v1", "proto"];

/// The numbers of fields in descriptors that the paths of comments consist of.
const FILE_MESSAGES: i32 = 4;
const FILE_SERVICES: i32 = 6;
const MESSAGE_FIELDS: i32 = 2;
const SERVICE_METHODS: i32 = 2;

/// Describes each service in a section.
pub fn sections() -> Result<String> {
    let files = FileDescriptorSet::decode(contract::DESCRIPTORS)?.file;
    let of = |package: &str| files.iter().find(|file| file.package() == package).context("a package is missing");
    let mut text = "\n## gRPC services\n".to_owned();
    for package in PACKAGES {
        text += &File::new(of(package)?).section();
    }
    Ok(text)
}

/// A file with its comments.
struct File<'a> {
    file: &'a FileDescriptorProto,
    comments: HashMap<&'a [i32], &'a str>,
}

impl<'a> File<'a> {
    fn new(file: &'a FileDescriptorProto) -> Self {
        let locations = file.source_code_info.iter().flat_map(|info| &info.location);
        let comments = locations.map(|location| (location.path.as_slice(), location.leading_comments()));
        Self { file, comments: comments.collect() }
    }

    fn comment(&self, path: &[i32]) -> &'a str {
        self.comments.get(path).copied().unwrap_or_default()
    }

    fn section(&self) -> String {
        let services = (0..).zip(&self.file.service).map(|(index, service)| self.service(index, service));
        let messages = (0..).zip(&self.file.message_type).map(|(index, message)| self.message(index, message));
        services.chain(messages).collect()
    }

    fn service(&self, index: i32, service: &ServiceDescriptorProto) -> String {
        let about = prose(self.comment(&[FILE_SERVICES, index]));
        let mut text = format!("\n### {}.{}\n\n{about}\n", self.file.package(), service.name());
        text += "\n| call | request | answer | |\n|---|---|---|---|\n";
        for (number, method) in (0..).zip(&service.method) {
            let link = |name: &str| format!("[`{0}`](#{1})", last(name), last(name).to_lowercase());
            let answer = link(method.output_type());
            let answer = if method.server_streaming() { format!("stream of {answer}") } else { answer };
            let about = cell(self.comment(&[FILE_SERVICES, index, SERVICE_METHODS, number]));
            text += &format!("| `{}` | {} | {answer} | {about} |\n", method.name(), link(method.input_type()));
        }
        text
    }

    fn message(&self, index: i32, message: &DescriptorProto) -> String {
        let about = prose(self.comment(&[FILE_MESSAGES, index]));
        let mut text = format!("\n#### {}\n\n{about}\n", message.name());
        if message.field.is_empty() {
            return text;
        }
        text += "\n| field | type | |\n|---|---|---|\n";
        for (number, field) in (0..).zip(&message.field) {
            let about = cell(self.comment(&[FILE_MESSAGES, index, MESSAGE_FIELDS, number]));
            text += &format!("| {} | {} | {about} |\n", name(field), type_of(field));
        }
        text
    }
}

/// The paragraphs of a comment, each in one line.
fn prose(comment: &str) -> String {
    let paragraphs = comment.split("\n\n").map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "));
    escape(&paragraphs.filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n\n"))
}

/// The name of a field, with that in JSON if it is not the usual one.
fn name(field: &FieldDescriptorProto) -> String {
    let is_usual = field.json_name().chars().next().is_some_and(char::is_lowercase);
    match is_usual {
        true => format!("`{}`", field.name()),
        false => format!("`{}` (`{}` in JSON)", field.name(), field.json_name()),
    }
}

fn type_of(field: &FieldDescriptorProto) -> String {
    let message = field.type_name();
    let name = match field.r#type() {
        Type::Message if message.starts_with(".google.") => message.trim_start_matches('.').to_owned(),
        Type::Message => format!("[{0}](#{1})", last(message), last(message).to_lowercase()),
        scalar => scalar.as_str_name().trim_start_matches("TYPE_").to_lowercase(),
    };
    match field.label() {
        Label::Repeated => format!("repeated {name}"),
        _ if field.proto3_optional() => format!("optional {name}"),
        _ => name,
    }
}

/// The last part of a name such as `.replicas.v1.Target`.
fn last(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}
