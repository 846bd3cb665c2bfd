//! `kubectl replicas config`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::{
    args::ConnectionArgs,
    config::{self, file, setting::Setting},
    connect::{self, Source},
    error::Error,
    output::{self, DocumentFormat},
};

/// Show the configuration of this program
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Show what is configured for each context, without certificates and keys
    View,
    /// Show where the configuration file is
    Path,
    Import(ImportArgs),
    /// Change a setting of this context; an empty value removes it
    Set {
        /// The setting, by its name in the configuration file
        #[arg(value_name = "KEY")]
        setting: Setting,
        /// Its new value; paths may be relative to the current folder
        value: String,
    },
    /// Remove a setting of this context
    Unset {
        /// The setting, by its name in the configuration file
        #[arg(value_name = "KEY")]
        setting: Setting,
    },
}

/// Take over a client certificate from files or from a Secret, and use it from now on with this context
///
/// For clusters where you may not ask for one with login. The content is copied into the configuration file, so the
/// files may be removed afterwards. It is not renewed: import another one before it expires.
#[derive(Debug, Args)]
struct ImportArgs {
    /// Take the client certificate from this file
    #[arg(long, value_name = "FILE", required_unless_present = "from_secret")]
    client_certificate: Option<PathBuf>,
    /// Take its key from this file
    #[arg(long, value_name = "FILE", required_unless_present = "from_secret")]
    client_key: Option<PathBuf>,
    /// Take the CA of the server from this file
    #[arg(long, value_name = "FILE", required_unless_present = "from_secret")]
    certificate_authority: Option<PathBuf>,
    /// Take all three from a Secret of the namespace: tls.crt, tls.key and ca.crt, or client.crt, client.key and ca.crt
    #[arg(long, value_name = "NAME")]
    #[arg(conflicts_with_all = ["client_certificate", "client_key", "certificate_authority"])]
    from_secret: Option<String>,
}

impl From<ImportArgs> for Source {
    fn from(args: ImportArgs) -> Self {
        // Without a Secret, there are the files: the parser sees to it.
        let file = Option::unwrap_or_default;
        match args.from_secret {
            Some(name) => Self::Secret { name },
            None => Self::Files {
                ca: file(args.certificate_authority),
                certificate: file(args.client_certificate),
                key: file(args.client_key),
            },
        }
    }
}

/// Shows or changes it.
pub(super) async fn run(args: ConfigArgs, connection: &ConnectionArgs) -> Result<(), Error> {
    let path = config::path().ok_or(config::Error::NoPlace)?;
    output::data(&match args.command {
        ConfigCommand::View => output::serialize(&file::load(&path)?.view()?, DocumentFormat::Yaml)?,
        ConfigCommand::Path => format!("{}\n", path.display()),
        ConfigCommand::Set { setting, value } => change(connection, setting, &value)?,
        ConfigCommand::Unset { setting } => change(connection, setting, "")?,
        ConfigCommand::Import(args) => {
            let (context, holder) = connect::import(connection, args.into()).await?;
            let context = config::named(&context);
            format!(
                "imported the client certificate of {} for {context}, valid until {:.0}\n",
                holder.user, holder.ends
            )
        }
    })
}

fn change(connection: &ConnectionArgs, setting: Setting, value: &str) -> Result<String, Error> {
    let context = config::named(&connect::set(connection, setting, value)?);
    Ok(match value {
        "" => format!("{} of {context} unset\n", setting.name()),
        value => format!("{} of {context} set to {value}\n", setting.name()),
    })
}
