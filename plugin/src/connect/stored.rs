//! The entry of a context in the configuration file: its login is stored, renewed and forgotten, its settings changed.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    Error,
    cluster::Cluster,
    login::{self, Holder, Wish},
    service::Server,
};
use crate::{
    args::ConnectionArgs,
    config::{
        self, Settings,
        file::{self, Credentials},
        setting::Setting,
    },
    error::{self, Error as CommandError},
    output,
};

/// How long a renewal may take before a command goes ahead without it.
const RENEWAL: Duration = Duration::from_secs(10);

/// How long none is tried after one that failed.
const RENEWAL_PAUSE: Duration = Duration::from_secs(5 * 60);

/// Gets a certificate for the user of the kubeconfig, stores it for the context, and returns both.
pub(crate) async fn log_in(args: &ConnectionArgs, wish: Wish) -> Result<(String, Holder), CommandError> {
    let cluster = Cluster::load(&args.kube).map_err(Error::from)?;
    let settings = Settings::load(cluster.context(), &args.server)?;
    let (credentials, holder) = obtain(&cluster, &settings, args.request_timeout, wish).await?;
    store(&cluster, &settings, credentials, wish.lifetime)?;
    Ok((cluster.context().unwrap_or_default().to_owned(), holder))
}

/// Forgets what logging in has stored for the context, and returns that.
pub(crate) fn log_out(args: &ConnectionArgs) -> Result<String, CommandError> {
    edit(args, |file, context| file.log_out(context))
}

/// Changes a setting of the context, and returns that; an empty value removes it.
pub(crate) fn set(args: &ConnectionArgs, key: Setting, value: &str) -> Result<String, CommandError> {
    edit(args, |file, context| file.set(context, key, value))
}

/// Changes the file for the context, and returns that.
fn edit(
    args: &ConnectionArgs,
    change: impl FnOnce(&mut file::File, &str) -> Result<(), config::Error>,
) -> Result<String, CommandError> {
    let cluster = Cluster::load(&args.kube).map_err(Error::from)?;
    let context = cluster.context().unwrap_or_default();
    let path = config::path().ok_or(config::Error::NoPlace)?;
    file::edit(&path, |file| change(file, context))?;
    Ok(context.to_owned())
}

/// The user whose login should be renewed now, if the certificate is a login's.
pub(super) fn due(settings: &Settings) -> Option<String> {
    let now = Timestamp::now();
    settings.login.filter(|login| login.retry_at.is_none_or(|at| at <= now))?;
    let holder = Holder::configured(settings.certificate.as_ref())?;
    holder.is_due(now).then_some(holder.user)
}

/// Renews a user's login without a word; a failure matters only once the certificate has ended.
pub(super) async fn renew(
    cluster: &Cluster,
    settings: &Settings,
    args: &ConnectionArgs,
    user: &str,
) -> Result<(), CommandError> {
    let Err(error) = try_to_renew(cluster, settings, args.request_timeout.min(RENEWAL), user).await else {
        return Ok(());
    };
    let now = Timestamp::now();
    if Holder::configured(settings.certificate.as_ref()).is_none_or(|holder| holder.ends <= now) {
        return Err(error);
    }
    output::note(&error::explain("warning: the client certificate was not renewed", &error));
    if let Some(path) = &settings.path {
        let context = cluster.context().unwrap_or_default();
        // Where this cannot be noted either, the next command tries again and says the same; the certificate still holds.
        let _ = file::edit(path, |file| {
            if let Some(entry) = file.contexts.get_mut(context) {
                entry.retry_at(now.saturating_add(RENEWAL_PAUSE).unwrap_or(now));
            }
            Ok(())
        });
    }
    Ok(())
}

async fn try_to_renew(cluster: &Cluster, settings: &Settings, limit: Duration, user: &str) -> Result<(), CommandError> {
    let lifetime = settings.login.and_then(|login| login.lifetime);
    let wish = Wish { lifetime, patience: RENEWAL, is_quiet: true };
    let (credentials, holder) = obtain(cluster, settings, limit, wish).await?;
    if holder.user != user {
        // Whoever changed the kubeconfig may not know that this would change whom counts are set by.
        return Err(Error::from(login::Error::OtherUser { old: user.to_owned(), new: holder.user }).into());
    }
    store(cluster, settings, credentials, lifetime)
}

/// Gets credentials in the name of the kubeconfig's user, unless they could not be stored.
async fn obtain(
    cluster: &Cluster,
    settings: &Settings,
    limit: Duration,
    wish: Wish,
) -> Result<(Credentials, Holder), CommandError> {
    file::check_writable(settings.path.as_ref().ok_or(config::Error::NoPlace)?)?;
    let client = cluster.client().await.map_err(Error::from)?;
    let server = Server::find(client.clone(), &settings.service, limit).await.map_err(Error::from)?;
    let credentials = login::credentials(&client, &server, limit, wish).await.map_err(Error::from)?;
    let holder = Holder::of(&credentials.certificate).ok_or(Error::from(login::Error::Unreadable))?;
    Ok((credentials, holder))
}

fn store(
    cluster: &Cluster,
    settings: &Settings,
    credentials: Credentials,
    lifetime: Option<Duration>,
) -> Result<(), CommandError> {
    let path = settings.path.as_ref().ok_or(config::Error::NoPlace)?;
    let context = cluster.context().unwrap_or_default().to_owned();
    let log_in = |file: &mut file::File| {
        file.contexts.entry(context).or_default().log_in(credentials, lifetime);
        Ok(())
    };
    Ok(file::edit(path, log_in)?)
}
