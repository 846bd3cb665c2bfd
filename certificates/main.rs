//! Makes a CA, and certificates for the server and its clients.
//!
//! `cargo run -p certificates` makes all of them; `server` and `client` issue one more from an existing CA. The server's
//! `pki` signs, `files` writes.

mod files;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand, builder::NonEmptyStringValueParser};
use contract::names::ADMINS;
use files::Folder;
use replica_count_manager::pki::{self, Authority, DAY};

/// The life of the CA, in days. It outlives the certificates that it signs by years, so that clients are renewed one by
/// one and never all at once.
const CA_DAYS: u32 = 3650;

/// The hint if a CA exists already.
const REMEDY: &str = "\
To issue certificates from the existing CA:
    cargo run --quiet -p certificates -- client --user NAME
    cargo run --quiet -p certificates -- server --force
To make a new CA, add --force. The server will then refuse every certificate of the old CA.
";

/// Make a CA, a server certificate and a client certificate
#[derive(Parser)]
#[command(name = "certificates", args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    all: AllArgs,
}

#[derive(Subcommand)]
enum Command {
    /// Issue the server's certificate from the existing CA
    Server(ServerCommand),
    /// Issue a certificate for one more client from the existing CA
    Client(ClientCommand),
}

#[derive(Args)]
struct AllArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// The user in the client certificate
    #[arg(long, default_value = "admin", value_parser = NonEmptyStringValueParser::new())]
    user: String,
    /// A group of the user; may be repeated. The chart gives the default group every right
    #[arg(long = "group", value_name = "NAME", default_value = ADMINS, value_parser = NonEmptyStringValueParser::new())]
    groups: Vec<String>,
    #[command(flatten)]
    common: CommonArgs,
}

#[derive(Args)]
struct ServerCommand {
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    common: CommonArgs,
}

#[derive(Args)]
struct ClientCommand {
    /// The user in the certificate
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    user: String,
    #[command(flatten)]
    groups: GroupArgs,
    #[command(flatten)]
    common: CommonArgs,
}

#[derive(Args)]
struct ServerArgs {
    /// The namespace that the server runs in
    #[arg(long, default_value = "replica-count-manager", value_parser = pki::host)]
    namespace: String,
    /// The name of the server's Service
    #[arg(long, default_value = "replica-count-manager", value_parser = pki::host)]
    service: String,
    /// One more DNS name or IP address of the server; may be repeated
    #[arg(long, value_name = "NAME", value_parser = pki::host)]
    dns: Vec<String>,
}

#[derive(Args)]
struct GroupArgs {
    /// A group of the user; may be repeated
    #[arg(long = "group", value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    groups: Vec<String>,
}

#[derive(Args)]
struct CommonArgs {
    /// Days until the certificates expire; the CA lasts ten years, and no certificate outlasts it
    #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u16).range(1..))]
    days: u16,
    /// The folder to write to
    #[arg(long, value_name = "FOLDER", default_value = "certificates")]
    out: PathBuf,
    /// Replace existing files
    #[arg(long)]
    force: bool,
}

fn main() -> ExitCode {
    let Cli { command, all } = Cli::parse();
    let result = match command {
        None => make_all(&all),
        Some(Command::Server(args)) => make_server(&args),
        Some(Command::Client(args)) => make_client(&args),
    };
    if let Err(error) = result {
        eprintln!("error: {error:#}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// Makes a new CA, and the server's and one client's certificate from it.
fn make_all(AllArgs { server, user, groups, common }: &AllArgs) -> Result<()> {
    let ca = Authority::new(CA_DAYS * DAY)?;
    let folders = [
        Folder::authority(common.out.join("ca"), &ca),
        server_folder(&ca, server, common)?,
        client_folder(common.out.join("client"), &ca, user, groups, common)?,
    ];
    let secret = secret_commands(&server.namespace, &common.out);
    files::write(&folders, common.force, &format!("{REMEDY}\n{secret}"))?;
    report(&folders);
    println!("\n{secret}");
    Ok(())
}

/// Issues the server's certificate from the existing CA.
fn make_server(ServerCommand { server, common }: &ServerCommand) -> Result<()> {
    let ca = load(&common.out.join("ca"))?;
    let folders = [server_folder(&ca, server, common)?];
    files::write(&folders, common.force, "Add --force to replace it.")?;
    report(&folders);
    println!("\n{}", secret_commands(&server.namespace, &common.out));
    Ok(())
}

/// Issues one more client certificate from the existing CA.
fn make_client(ClientCommand { user, groups, common }: &ClientCommand) -> Result<()> {
    let ca = load(&common.out.join("ca"))?;
    let folder = common.out.join(files::client_folder_name(user));
    let folders = [client_folder(folder, &ca, user, &groups.groups, common)?];
    files::write(&folders, common.force, "Add --force to replace it.")?;
    report(&folders);
    Ok(())
}

/// Reads the CA that an earlier run wrote.
fn load(folder: &Path) -> Result<Authority> {
    let [certificate, key] = ["ca.crt", "ca.key"].map(|name| {
        let path = folder.join(name);
        fs::read_to_string(&path).with_context(|| {
            format!("failed to read {}; to make a new CA, run without `server` or `client`", path.display())
        })
    });
    Authority::parse(certificate?, &key?)
        .with_context(|| format!("failed to use the CA in {}; --force makes a new one", folder.display()))
}

fn server_folder(ca: &Authority, args: &ServerArgs, common: &CommonArgs) -> Result<Folder> {
    let names = pki::server_names(&args.service, &args.namespace, &args.dns);
    let issued = ca.issue_server(&args.service, names, u32::from(common.days) * DAY)?;
    Ok(Folder::issued(common.out.join("server"), "server", ca, &issued))
}

fn client_folder(path: PathBuf, ca: &Authority, user: &str, groups: &[String], common: &CommonArgs) -> Result<Folder> {
    let issued = ca.issue_client(user, groups, u32::from(common.days) * DAY)?;
    Ok(Folder::issued(path, "client", ca, &issued))
}

fn report(folders: &[Folder]) {
    for path in folders.iter().flat_map(Folder::paths) {
        println!("wrote {}", path.display());
    }
}

/// The commands that give the server its first or renewed certificate. They do not apply the Secret, because the roles in
/// docs/rights may create and update Secrets, but not patch them.
fn secret_commands(namespace: &str, out: &Path) -> String {
    let file = |name: &str| files::shell_word(&out.join("server").join(name).to_string_lossy());
    let create = format!(
        "kubectl create secret generic replica-count-manager-certificates --namespace={namespace} \\\n  \
         --from-file=tls.crt={} \\\n  --from-file=tls.key={} \\\n  --from-file=ca.crt={}",
        file("server.crt"),
        file("server.key"),
        file("ca.crt"),
    );
    format!(
        "If the namespace is missing, an administrator creates it:\n\n\
         kubectl create namespace {namespace}\n\n\
         To give the server its first certificate:\n\n{create}\n\n\
         To renew it:\n\n{create} \\\n  --dry-run=client --output=yaml | kubectl replace --filename=-"
    )
}
