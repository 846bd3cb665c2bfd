//! Writes the files of a pod's volumes, and keeps them up to date.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::{DownwardAPIVolumeFile, KeyToPath, ProjectedVolumeSource, Volume, VolumeProjection};

use super::files::{File, Files, publish};
use super::source::{Entries, Source};

const DEFAULT_MODE: i32 = 0o644;

/// Updates every volume of the pod in `folder`.
pub(super) async fn refresh(source: &mut Source, folder: &Path) -> Result<()> {
    let volumes = source.pod.spec.as_ref().and_then(|spec| spec.volumes.clone()).unwrap_or_default();
    for volume in volumes {
        let target = folder.join(&volume.name);
        if volume.empty_dir.is_some() {
            fs::create_dir_all(&target)?;
            continue;
        }
        let files =
            files(source, &volume).await.with_context(|| format!("failed to fill the volume {}", volume.name))?;
        publish(&target, &files)?;
    }
    Ok(())
}

async fn files(source: &mut Source, volume: &Volume) -> Result<Files> {
    if let Some(secret) = &volume.secret {
        let optional = secret.optional.unwrap_or(false);
        let entries = source.secret(secret.secret_name.as_deref().unwrap_or_default(), optional).await?;
        return select(entries, secret.items.as_deref(), secret.default_mode, optional);
    }
    if let Some(map) = &volume.config_map {
        let optional = map.optional.unwrap_or(false);
        let entries = source.config_map(&map.name, optional).await?;
        return select(entries, map.items.as_deref(), map.default_mode, optional);
    }
    if let Some(downward) = &volume.downward_api {
        return fields(source, downward.items.as_deref().unwrap_or_default(), downward.default_mode);
    }
    match &volume.projected {
        Some(projected) => project(source, projected).await,
        None => bail!("volumes of its kind are not supported"),
    }
}

async fn project(source: &mut Source, projected: &ProjectedVolumeSource) -> Result<Files> {
    let mut files = Files::new();
    for projection in projected.sources.iter().flatten() {
        files.extend(projection_files(source, projection, projected.default_mode).await?);
    }
    Ok(files)
}

async fn projection_files(source: &mut Source, projection: &VolumeProjection, mode: Option<i32>) -> Result<Files> {
    if let Some(token) = &projection.service_account_token {
        return Ok([(token.path.clone(), file(source.token(token).await?, mode)?)].into());
    }
    if let Some(secret) = &projection.secret {
        let optional = secret.optional.unwrap_or(false);
        let entries = source.secret(&secret.name, optional).await?;
        return select(entries, secret.items.as_deref(), mode, optional);
    }
    if let Some(map) = &projection.config_map {
        let optional = map.optional.unwrap_or(false);
        let entries = source.config_map(&map.name, optional).await?;
        return select(entries, map.items.as_deref(), mode, optional);
    }
    match &projection.downward_api {
        Some(downward) => fields(source, downward.items.as_deref().unwrap_or_default(), mode),
        None => bail!("projections of its kind are not supported"),
    }
}

/// Selects all entries with their own names, or the chosen entries with the given paths.
fn select(entries: Option<Entries>, items: Option<&[KeyToPath]>, mode: Option<i32>, optional: bool) -> Result<Files> {
    let entries = entries.unwrap_or_default();
    let Some(items) = items.filter(|items| !items.is_empty()) else {
        return entries.into_iter().map(|(key, data)| Ok((key, file(data, mode)?))).collect();
    };
    let mut files = Files::new();
    for item in items {
        match entries.get(&item.key) {
            Some(data) => {
                files.insert(item.path.clone(), file(data.clone(), item.mode.or(mode))?);
            }
            None if optional => {}
            None => bail!("the key {} is missing", item.key),
        }
    }
    Ok(files)
}

fn fields(source: &Source, items: &[DownwardAPIVolumeFile], mode: Option<i32>) -> Result<Files> {
    let entry = |item: &DownwardAPIVolumeFile| {
        let field = item.field_ref.as_ref().context("only fields of the pod can be projected")?;
        let value = source.field(&field.field_path)?;
        Ok((item.path.clone(), file(value.into_bytes(), item.mode.or(mode))?))
    };
    items.iter().map(entry).collect()
}

fn file(data: Vec<u8>, mode: Option<i32>) -> Result<File> {
    Ok(File { data, mode: u32::try_from(mode.unwrap_or(DEFAULT_MODE))? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(key: &str, path: &str) -> KeyToPath {
        KeyToPath { key: key.into(), path: path.into(), mode: None }
    }

    #[test]
    fn chosen_items_get_their_paths_and_missing_items_are_errors_unless_optional() -> Result<()> {
        let entries = || Some(Entries::from([("tls.crt".to_owned(), b"pem".to_vec())]));
        let files = select(entries(), Some(&[item("tls.crt", "server/cert.pem")]), Some(0o440), false)?;
        assert_eq!(files["server/cert.pem"], File { data: b"pem".to_vec(), mode: 0o440 });
        assert!(select(entries(), Some(&[item("ca.crt", "ca.crt")]), None, false).is_err());
        assert!(select(entries(), Some(&[item("ca.crt", "ca.crt")]), None, true)?.is_empty());
        Ok(())
    }
}
