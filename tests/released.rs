//! The settings of a release, and the files that `make release` made, installed as users install them: by krew and Helm,
//! and the image as a pod.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use cluster::{Options, run};
use serde_json::Value;
use tokio::process::Command;

use support::{Namespace, ROOT, TestCluster, outcome, release, shared_cluster};

/// A file that `make release` made.
fn made(name: &str) -> PathBuf {
    Path::new(ROOT).join("dist").join(name)
}

/// The archives of the plugin, for each platform that krew knows: the platform and the path.
fn archives() -> Result<Vec<(String, PathBuf)>> {
    let files = fs::read_dir(made("release")).context("there is no release: run `make release`")?;
    let mut archives = Vec::new();
    for file in files {
        let path = file?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let platform = name.strip_prefix("kubectl-replicas-").and_then(|name| name.strip_suffix(".tar.gz"));
        archives.extend(platform.map(|platform| (platform.to_owned(), path.clone())));
        // Windows on arm64 runs the program for amd64.
        if platform == Some("windows-amd64") {
            archives.push(("windows-arm64".to_owned(), path));
        }
    }
    ensure!(archives.len() >= 4, "there are only {archives:?}");
    Ok(archives)
}

#[tokio::test]
async fn a_release_needs_its_addresses_and_the_tag_of_its_version() -> Result<()> {
    const REPOSITORY: &str = "https://github.com/OWNER/REPOSITORY";
    const IMAGE: &str = "ghcr.io/owner/replica-count-manager";
    let version = env!("CARGO_PKG_VERSION");
    let rows = [
        ("all is set", REPOSITORY, IMAGE, "", None),
        ("no repository", "", IMAGE, "", Some("set it to the address of the source repository")),
        (
            "a slash at the end",
            "https://github.com/OWNER/",
            IMAGE,
            "",
            Some("RELEASE_REPOSITORY is 'https://github.com/OWNER/'"),
        ),
        ("no image", REPOSITORY, "", "", Some("set it to the registry and the name of the image")),
        ("an image with a tag", REPOSITORY, "ghcr.io/owner/replica-count-manager:v1", "", Some("without a tag")),
        ("an image in capitals", REPOSITORY, "ghcr.io/OWNER/replica-count-manager", "", Some("in lower case")),
        ("a port", REPOSITORY, "localhost:5000/replica-count-manager", "", None),
        ("another tag", REPOSITORY, IMAGE, "v99.0.0", Some("the tag is v99.0.0, but Cargo.toml has the version")),
        ("a tag without a v", REPOSITORY, IMAGE, version, Some("tag v")),
    ];
    for (name, repository, image, tag, refusal) in rows {
        let mut check = Command::new(format!("{ROOT}/release/check"));
        check.env("RELEASE_REPOSITORY", repository).env("RELEASE_IMAGE", image).env("RELEASE_TAG", tag);
        let done = outcome(&mut check).await?;
        let expected = refusal.map_or((Some(0), ""), |refusal| (Some(1), refusal));
        ensure!(done.code == expected.0 && done.stderr.contains(expected.1), "{name}: {done:?}");
    }
    Ok(())
}

/// What the first release changes in the tree, as RELEASE.md says: the file, and the texts before and after it.
const CHANGED_BY_THE_FIRST: [(&str, &str, &str); 5] = [
    ("SECURITY-INSIGHTS.yml", "repository.invalid", "github.com/OWNER/REPOSITORY"),
    (".github/ISSUE_TEMPLATE/config.yml", "repository.invalid", "github.com/OWNER/REPOSITORY"),
    ("README.md", "Nothing is published yet", ""),
    ("SUPPORT.md", "No release has been made yet", ""),
    ("docs/install.md", "No release has been made yet", ""),
];

/// A repository of one commit, with a copy of what steps of a release read, after the changes of the first release.
async fn repository(name: &str) -> Result<PathBuf> {
    let folder = shared_cluster().await?.folder().join(name);
    fs::create_dir_all(&folder)?;
    let mut copy = Command::new("cp");
    copy.current_dir(ROOT).args(["-R", "release", "charts", "docs", ".github", "Cargo.toml", "LICENSE"]);
    run(copy.args(["CHANGELOG.md", "README.md", "SUPPORT.md", "SECURITY-INSIGHTS.yml"]).arg(&folder)).await?;
    for (file, before, after) in CHANGED_BY_THE_FIRST {
        let path = folder.join(file);
        fs::write(&path, fs::read_to_string(&path)?.replace(before, after))?;
    }
    run(&mut git(&folder, &["init", "--quiet"])).await?;
    run(&mut git(&folder, &["add", "."])).await?;
    run(&mut git(&folder, &["commit", "--quiet", "--message=first"])).await?;
    Ok(folder)
}

fn git(folder: &Path, arguments: &[&str]) -> Command {
    let mut git = Command::new("git");
    git.current_dir(folder).args(["-c", "user.name=test", "-c", "user.email=test@localhost"]);
    git.args(["-c", "commit.gpgsign=false"]).args(arguments);
    git
}

#[tokio::test]
async fn a_release_packs_no_program_of_another_commit() -> Result<()> {
    let folder = repository("packed").await?;
    let (programs, licenses) = (folder.join("dist/bin/darwin-arm64"), folder.join("dist/licenses/kubectl-replicas"));
    fs::create_dir_all(&programs)?;
    fs::create_dir_all(&licenses)?;
    fs::write(programs.join("kubectl-replicas"), "")?;
    fs::write(licenses.join("THIRD-PARTY-LICENSES.txt"), "")?;
    let this = run(&mut git(&folder, &["rev-parse", "HEAD"])).await?;
    let rows = [
        ("an unknown commit", None, Some("was built from an unknown commit, not from")),
        ("another commit", Some("0123abc"), Some("was built from 0123abc, not from")),
        ("this commit", Some(this.as_str()), None),
    ];
    for (name, commit, refusal) in rows {
        if let Some(commit) = commit {
            fs::write(programs.join("kubectl-replicas.commit"), commit)?;
        }
        let done = outcome(&mut Command::new(folder.join("release/archives"))).await?;
        let expected = refusal.map_or((Some(0), ""), |refusal| (Some(1), refusal));
        ensure!(done.code == expected.0 && done.stderr.contains(expected.1), "{name}: {done:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_release_needs_its_version_its_changes_and_its_addresses_in_the_tree() -> Result<()> {
    const CHART: &str = "charts/replica-count-manager/Chart.yaml";
    const LOG: &str = "CHANGELOG.md";
    let (version, tag) = (env!("CARGO_PKG_VERSION"), concat!("v", env!("CARGO_PKG_VERSION")));
    let folder = repository("checked").await?;
    let git = |arguments: &[&str]| git(&folder, arguments);
    let check = |tag: &str| {
        let mut check = Command::new(folder.join("release/check"));
        check.env("RELEASE_REPOSITORY", "https://github.com/OWNER/REPOSITORY").env("RELEASE_TAG", tag);
        check.env("RELEASE_IMAGE", "ghcr.io/owner/replica-count-manager");
        check
    };

    let chart = fs::read_to_string(folder.join(CHART))?;
    let with_field = |field: &str| chart.replace(&format!("\n{field}: {version}\n"), &format!("\n{field}: 99.0.0\n"));
    let section = |date: &str| format!("# Changelog\n\n## [{version}]{date}\n\n- A change.\n");
    let rows = CHANGED_BY_THE_FIRST.map(|(file, before, _)| (before, file, before.to_owned(), tag, file));
    let rows = rows.into_iter().chain([
        ("another version of the chart", CHART, with_field("version"), "", "version in charts/"),
        ("another version of the server", CHART, with_field("appVersion"), "", "appVersion in charts/"),
        ("no changes", LOG, "# Changelog\n".to_owned(), "", "CHANGELOG.md says nothing about"),
        ("a tag, but no date", LOG, section(""), tag, "with a date: rename 'Unreleased'"),
        ("a tag, but uncommitted changes", LOG, section(" - 2026-01-02"), tag, "the working tree has changes"),
    ]);
    for (name, file, text, tag, refusal) in rows {
        run(&mut git(&["checkout", "--quiet", "."])).await?;
        let done = outcome(&mut check("")).await?;
        ensure!(done.code == Some(0), "before {name}: {done:?}");
        fs::write(folder.join(file), text)?;
        let done = outcome(&mut check(tag)).await?;
        ensure!(done.code == Some(1) && done.stderr.contains(refusal), "{name}: {done:?}");
    }
    run(&mut git(&["commit", "--quiet", "--all", "--message=release"])).await?;
    run(&mut check(tag)).await.map(drop)
}

#[tokio::test]
#[ignore = "it needs a release: make release-test"]
async fn krew_installs_every_archive_under_both_names() -> Result<()> {
    let cluster = shared_cluster().await?;
    for (platform, archive) in archives()? {
        let (os, arch) = platform.split_once('-').context("the platform has no processor")?;
        for (name, command) in [("replicas", "kubectl-replicas"), ("hold-replicas", "kubectl-hold_replicas")] {
            let folder = cluster.folder().join(format!("krew-{platform}-{name}"));
            let mut krew = cluster.command("krew");
            krew.env("KREW_ROOT", &folder).env("KREW_OS", os).env("KREW_ARCH", arch);
            krew.arg("install").arg("--manifest").arg(made(&format!("release/{name}.yaml")));
            run(krew.arg("--archive").arg(&archive)).await?;
            let command =
                folder.join("bin").join(if os == "windows" { format!("{command}.exe") } else { command.into() });
            ensure!(fs::metadata(&command)?.len() > 1 << 20, "{} is no program", command.display());
            if platform == this_platform() {
                let version = run(cluster.command(&command).args(["version", "--client"])).await?;
                assert_eq!(version.trim(), concat!("Client Version: v", env!("CARGO_PKG_VERSION")));
                let help = run(cluster.command(&command).arg("--help")).await?;
                ensure!(help.contains(&format!("kubectl {name} ")), "{help}");
            }
        }
    }
    Ok(())
}

#[tokio::test]
#[ignore = "it needs a release: make release-test"]
async fn the_image_runs_as_a_pod_of_the_packaged_chart() -> Result<()> {
    let image = Image::read(&made("image"))?;
    let folder = made("image-files");
    for arch in ["amd64", "arm64"] {
        let config = image.config(arch)?;
        ensure!(config["config"]["User"] == "65532:65532", "{config}");
        ensure!(config["config"]["Entrypoint"] == serde_json::json!(["/replica-count-manager"]), "{config}");
        image.unpack(arch, &folder.join(arch)).await?;
        for licence in ["LICENSE", "THIRD-PARTY-LICENSES.txt"] {
            ensure!(folder.join(arch).join(licence).is_file(), "{licence} is missing for {arch}");
        }
    }
    let crds = [made("release/replica-count-manager-crd.yaml"), Path::new(release::CHART).join("files/crd.yaml")];
    let [published, ours] = crds.map(fs::read_to_string);
    ensure!(published? == ours?, "the CRD beside the chart is not the chart's");
    let server = folder.join(architecture()).join("replica-count-manager");
    let chart = made(concat!("release/replica-count-manager-", env!("CARGO_PKG_VERSION"), ".tgz"));
    let cluster = TestCluster::start_release(Options::default(), &server, &chart, &[]).await?;
    let get = ["get", "deployment", release::NAME, "--namespace", release::NAME];
    let image =
        run(cluster.kubectl().args(get).arg("--output=jsonpath={.spec.template.spec.containers[0].image}")).await?;
    ensure!(image.contains('/') && !image.contains(".invalid"), "the chart's image is {image}");
    let shop = Namespace::new(&cluster, "released").await?;
    shop.deployment("web", 1).await?;
    shop.set("web", 3).await?;
    shop.kubectl(&["scale", "deployment/web", "--replicas=7"]).await?;
    shop.wait_for_drifts("deployment.web", 1).await?;
    shop.wait_for_replicas("deployment/web", 3).await
}

/// An OCI image layout with one image for several architectures.
struct Image {
    folder: PathBuf,
    manifests: Vec<Value>,
}

impl Image {
    fn read(folder: &Path) -> Result<Self> {
        let text = fs::read_to_string(folder.join("index.json")).context("there is no image: run `make release`")?;
        let index: Value = serde_json::from_str(&text)?;
        let mut image = Self { folder: folder.to_owned(), manifests: Vec::new() };
        let index = image.blob(&index["manifests"][0])?;
        image.manifests = index["manifests"].as_array().context("it is an image of one architecture")?.clone();
        Ok(image)
    }

    /// The path of what a descriptor is about.
    fn path(&self, descriptor: &Value) -> Result<PathBuf> {
        let digest = descriptor["digest"].as_str().context("a descriptor has no digest")?;
        Ok(self.folder.join("blobs").join(digest.replacen(':', "/", 1)))
    }

    fn blob(&self, descriptor: &Value) -> Result<Value> {
        Ok(serde_json::from_str(&fs::read_to_string(self.path(descriptor)?)?)?)
    }

    fn manifest(&self, arch: &str) -> Result<Value> {
        let found = self.manifests.iter().find(|manifest| manifest["platform"]["architecture"] == arch);
        self.blob(found.with_context(|| format!("there is no image for {arch}"))?)
    }

    fn config(&self, arch: &str) -> Result<Value> {
        self.blob(&self.manifest(arch)?["config"])
    }

    /// Unpacks the layers into a folder.
    async fn unpack(&self, arch: &str, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder)?;
        for layer in self.manifest(arch)?["layers"].as_array().into_iter().flatten() {
            let mut tar = Command::new("tar");
            run(tar.arg("--extract").arg("--file").arg(self.path(layer)?).arg("--directory").arg(folder)).await?;
        }
        Ok(())
    }
}

/// The architecture of this machine, in the words of images.
const fn architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }
}

fn this_platform() -> String {
    format!("linux-{}", architecture())
}
