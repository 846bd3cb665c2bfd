//! The plugin's configuration: an entry for each kube context, which flags and environment variables override.

mod context;
mod edit;
mod entry;
mod error;
pub(crate) mod file;
#[cfg(test)]
mod fuzz;
mod location;
mod material;
mod setting;
mod settings;

pub(crate) use self::{
    context::{describe, example},
    entry::{Credentials, ServiceRef},
    error::Error,
    location::{PATH_VARIABLE, default_path, path},
    material::Material,
    setting::Setting,
    settings::Settings,
};
