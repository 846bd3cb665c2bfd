//! What the rows share: a control plane with an audit log and tokens, certificates of every kind, and proxies.

use std::{
    env, fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{self, Stdio},
};

use anyhow::{Context, Result};
use cluster::{Cluster, Component, Options, run};
use k8s_openapi::ByteString;
use support::release;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use super::proxies::Proxies;

/// The audit policy: the lists of EndpointSlices, which the plugin begins with.
const POLICY: &str = r#"
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: Metadata, verbs: [list], resources: [{group: discovery.k8s.io, resources: [endpointslices]}]}
- {level: None}
"#;

/// Token, user, uid and groups.
const TOKENS: &str = "token-alice-s3cret,alice,uid-alice,\"shop,sre\"\ntoken-bob-s3cret,bob,uid-bob\n\
                      token-root-s3cret,root,uid-root,\"system:masters\"\n";

/// A folder that goes with this value.
pub(super) struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Result<Self> {
        let folder = env::temp_dir().join(format!("replica-count-manager-{name}-{}", process::id()));
        fs::create_dir_all(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What all rows use.
pub(super) struct Environment {
    pub(super) control_plane: Cluster,
    pub(super) kubectl: PathBuf,
    pub(super) plugin: PathBuf,
    /// The plugin's flags for certificates of the server, which no row reaches.
    pub(super) certificates: Vec<String>,
    pub(super) audit_log: PathBuf,
    /// The folder of the rows.
    pub(super) folder: PathBuf,
    /// Lines that stand for those of a shell's loop.
    pub(super) lines: PathBuf,
    proxies: Proxies,
    /// `kubectl proxy`, which serves the API without TLS.
    plain: (Child, String),
    _audit: Folder,
}

impl Environment {
    pub(super) async fn start() -> Result<Self> {
        let audit = Folder::new("audit")?;
        let [policy, tokens, audit_log] = ["policy.yaml", "tokens.csv", "audit.log"].map(|name| audit.0.join(name));
        fs::write(&policy, POLICY)?;
        fs::write(&tokens, TOKENS)?;
        let flags = [("audit-policy-file", &policy), ("token-auth-file", &tokens), ("audit-log-path", &audit_log)];
        let flags = flags.map(|(name, path)| (Component::ApiServer, format!("--{name}={}", path.display())));
        let mut flags = Vec::from(flags);
        for certificate in make_server_certificates(&audit.0).await? {
            flags.push((Component::ApiServer, certificate));
        }
        let control_plane = Cluster::start(Options { flags, ..Options::default() }).await?;
        let folder = control_plane.folder().join("kubeconfigs");
        fs::create_dir(&folder)?;
        make_certificates(&control_plane, &folder).await?;
        for name in ["self.crt", "company.crt", "clients.crt", "pinned.crt"] {
            fs::copy(audit.0.join(name), folder.join(name))?;
        }
        let pki = control_plane.folder().join("pki");
        let flag = |name: &str, file: &str| format!("--{name}={}", pki.join(file).display());
        let lines = folder.join("lines");
        fs::write(&lines, "a\nb\nc\n")?;
        Ok(Self {
            kubectl: control_plane.folder().join("bin/kubectl"),
            plugin: release::program("kubectl-replicas")?,
            certificates: vec![
                flag("ca", "cluster.crt"),
                flag("cert", "api-server.crt"),
                flag("key", "api-server.key"),
            ],
            audit_log,
            proxies: Proxies::start(&pki).await?,
            plain: serve_plainly(&control_plane).await?,
            folder,
            lines,
            control_plane,
            _audit: audit,
        })
    }

    /// Replaces the words with a dollar sign.
    pub(super) fn fill(&self, text: &str, folder: &Path) -> String {
        let server = fs::read_to_string(self.control_plane.kubeconfig()).unwrap_or_default();
        let port =
            server.split("https://127.0.0.1:").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
        let mut text = text.to_owned();
        for (name, value) in self.proxies.addresses() {
            text = text.replace(name, &value);
        }
        text = text
            .replace("$SERVER", &format!("https://127.0.0.1:{port}"))
            .replace("$PORT", port)
            .replace("$PLAIN", &self.plain.1)
            .replace("$CA", &self.control_plane.folder().join("pki/cluster.crt").display().to_string())
            .replace("$HERE", &folder.display().to_string());
        // $DATA(file) is the file in base64, and $FILE(file) its path.
        while let Some((before, name, after)) = call(&text, "$DATA(") {
            let content = fs::read(self.folder.join(&name)).unwrap_or_default();
            let data = serde_json::to_value(ByteString(content)).unwrap_or_default();
            text = format!("{before}{}{after}", data.as_str().unwrap_or_default());
        }
        while let Some((before, name, after)) = call(&text, "$FILE(") {
            text = format!("{before}{}{after}", self.folder.join(&name).display());
        }
        text
    }
}

fn call(text: &str, start: &str) -> Option<(String, String, String)> {
    let (before, rest) = text.split_once(start)?;
    let (name, after) = rest.split_once(')')?;
    Some((before.to_owned(), name.to_owned(), after.to_owned()))
}

pub(super) fn make_executable(file: &Path) -> io::Result<()> {
    fs::set_permissions(file, fs::Permissions::from_mode(0o755))
}

/// Serves the API without TLS, as an administrator.
async fn serve_plainly(control_plane: &Cluster) -> Result<(Child, String)> {
    let mut proxy = control_plane.kubectl().args(["proxy", "--port=0"]).stdout(Stdio::piped()).spawn()?;
    let stdout = proxy.stdout.take().context("no output")?;
    let line = BufReader::new(stdout).lines().next_line().await?.context("kubectl proxy has ended")?;
    let address = line.rsplit(' ').next().context("no address")?.to_owned();
    Ok((proxy, address))
}

/// Makes certificates of the API server, and returns their flags. Those for `self.test`, which is its own CA, and for
/// `company.test`, which `company.crt` has signed, are marked as those of a CA. `clients.crt` is a CA for clients, and has
/// signed `pinned.crt` for `pinned.test`.
async fn make_server_certificates(folder: &Path) -> Result<[String; 3]> {
    let script = "set -e
openssl req -x509 -newkey rsa:2048 -nodes -keyout self.key -out self.crt -subj /CN=self -addext subjectAltName=DNS:self.test
openssl req -x509 -newkey rsa:2048 -nodes -keyout company-ca.key -out company.crt -subj /CN=company
openssl req -new -newkey rsa:2048 -nodes -keyout company.key -out company.csr -subj /CN=server
printf 'basicConstraints=critical,CA:TRUE\nsubjectAltName=DNS:company.test\n' >extensions
openssl x509 -req -in company.csr -CA company.crt -CAkey company-ca.key -set_serial 2 -extfile extensions -out server.crt
openssl req -x509 -newkey rsa:2048 -nodes -keyout clients-ca.key -out clients.crt -subj /CN=clients -addext extendedKeyUsage=clientAuth
openssl req -new -newkey rsa:2048 -nodes -keyout pinned.key -out pinned.csr -subj /CN=pinned
printf 'basicConstraints=CA:FALSE\nsubjectAltName=DNS:pinned.test\n' >extensions
openssl x509 -req -in pinned.csr -CA clients.crt -CAkey clients-ca.key -set_serial 3 -extfile extensions -out pinned.crt
";
    run(Command::new("bash").args(["-c", script]).current_dir(folder)).await?;
    let certificates = [
        ("self.crt", "self.key", "self.test"),
        ("server.crt", "company.key", "company.test"),
        ("pinned.crt", "pinned.key", "pinned.test"),
    ];
    Ok(certificates.map(|(certificate, key, name)| {
        let [certificate, key] = [certificate, key].map(|file| folder.join(file).display().to_string());
        format!("--tls-sni-cert-key={certificate},{key}:{name}")
    }))
}

/// Makes certificates of the users `carol-KIND` with keys of all kinds.
async fn make_certificates(control_plane: &Cluster, folder: &Path) -> Result<()> {
    let pki = control_plane.folder().join("pki").display().to_string();
    let script = format!(
        r#"set -e
extensions() {{ printf 'extendedKeyUsage=clientAuth\n' >ext; }}
sign() {{ # NAME [FLAG...]: signs NAME.key
  name=$1; shift
  openssl req -new -key $name.key -subj /CN=carol-$name/O=sre -out $name.csr
  openssl x509 -req -in $name.csr -CA {pki}/cluster.crt -CAkey {pki}/cluster.key -set_serial 0x$RANDOM$RANDOM -days 1 -out $name.crt "$@"
}}
extensions
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ec.key; sign ec -extfile ext
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out p384.key; sign p384 -extfile ext
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-521 -out p521.key; sign p521 -extfile ext
openssl genpkey -algorithm ED25519 -out ed25519.key; sign ed25519 -extfile ext
openssl genrsa -out rsa.key 2048; sign rsa -extfile ext; sign rsa -extfile ext
openssl genrsa -out small.key 1024; sign small -extfile ext
openssl genrsa -out v1.key 2048; sign v1
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out v1ec.key; sign v1ec
openssl rsa -in rsa.key -traditional -out pkcs1.key
openssl ecparam -name prime256v1 -genkey -out sec1.key; sign sec1 -extfile ext
sed 's/ RSA PRIVATE/ PRIVATE/' pkcs1.key >mislabelled.key
openssl rsa -in rsa.key -aes128 -passout pass:s3cret -traditional -out encrypted1.key
openssl pkcs8 -topk8 -in rsa.key -passout pass:s3cret -out encrypted8.key
openssl x509 -in rsa.crt -text -out text.crt
cat text.crt {pki}/cluster.crt >chain.crt
{{ echo 'a company CA'; openssl x509 -in v1.crt; echo text; cat {pki}/front-proxy.crt {pki}/cluster.crt; echo end; }} >bundle.crt
{{ printf -- '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'; cat {pki}/cluster.crt; }} >damaged.crt
cat ec.crt ec.key >both.pem
: >empty
"#
    );
    run(Command::new("bash").args(["-c", &script]).current_dir(folder)).await.map(drop)
}
