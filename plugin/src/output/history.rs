//! The history of a target's count: one timeline, as a table, as a document, and as a picture.

mod cells;
mod document;
mod svg;
mod table;
mod timeline;

pub(crate) use self::{
    document::document,
    svg::picture,
    table::table,
    timeline::{Timeline, Unmanaged},
};
