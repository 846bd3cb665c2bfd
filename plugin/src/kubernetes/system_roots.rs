//! The CA certificates of the machine, found as Go's `crypto/x509` finds them on Linux.

use std::{collections::BTreeSet, env, ffi::OsString, fs, path::PathBuf};

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

/// The variables that replace the files and the folders, each on its own.
const FILE_VARIABLE: &str = "SSL_CERT_FILE";
const FOLDER_VARIABLE: &str = "SSL_CERT_DIR";

/// The files with all certificates in the distributions. The first one counts.
const FILES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The folders with a file for each certificate. All of them count.
const FOLDERS: [&str; 2] = ["/etc/ssl/certs", "/etc/pki/tls/certs"];

/// The places of certificates.
#[derive(Debug, PartialEq, Eq)]
struct Places {
    files: Vec<PathBuf>,
    folders: Vec<PathBuf>,
}

/// Reads the certificates, in DER. Other systems have none to read: they check a server's certificate themselves.
pub(super) fn read() -> Option<Vec<Vec<u8>>> {
    cfg!(target_os = "linux").then(|| Places::new(env::var_os(FILE_VARIABLE), env::var_os(FOLDER_VARIABLE)).read())
}

/// The certificates of a text in PEM that can be trusted, in DER. Others are skipped, as in Go.
pub(super) fn usable(pem: &[u8]) -> Vec<Vec<u8>> {
    let mut roots = RootCertStore::empty();
    CertificateDer::pem_slice_iter(pem)
        .filter_map(Result::ok)
        .filter(|certificate| roots.add(certificate.clone()).is_ok())
        .map(|certificate| certificate.to_vec())
        .collect()
}

impl Places {
    /// The places that the variables name. An empty variable counts as absent.
    fn new(file: Option<OsString>, folders: Option<OsString>) -> Self {
        let given = |text: &OsString| !text.is_empty();
        Self {
            files: match file.filter(given) {
                Some(file) => vec![PathBuf::from(file)],
                None => FILES.map(PathBuf::from).to_vec(),
            },
            folders: match folders.filter(given) {
                Some(folders) => env::split_paths(&folders).collect(),
                None => FOLDERS.map(PathBuf::from).to_vec(),
            },
        }
    }

    /// Reads the first file that can be read, and all files of the folders.
    fn read(&self) -> Vec<Vec<u8>> {
        let bundle = self.files.iter().find_map(|file| fs::read(file).ok());
        let entries = self.folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
        let others = entries.filter_map(|entry| fs::read(entry.path()).ok());
        // The folders usually hold the file, and links with other names to their own files.
        let all: BTreeSet<_> = bundle.into_iter().chain(others).flat_map(|pem| usable(&pem)).collect();
        all.into_iter().collect()
    }
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn pem() -> String {
        CertificateParams::default().self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
    }

    #[test]
    fn the_variables_replace_files_and_folders_each_on_its_own() {
        let defaults =
            Places { files: FILES.map(PathBuf::from).to_vec(), folders: FOLDERS.map(PathBuf::from).to_vec() };
        let file = vec![PathBuf::from("/company.pem")];
        let folders = vec![PathBuf::from("/a"), PathBuf::from("/b")];
        for (name, given, files, expected_folders) in [
            ("nothing", [None, None], &defaults.files, &defaults.folders),
            ("empty variables", [Some(""), Some("")], &defaults.files, &defaults.folders),
            ("a file", [Some("/company.pem"), None], &file, &defaults.folders),
            ("folders", [None, Some("/a:/b")], &defaults.files, &folders),
            ("both", [Some("/company.pem"), Some("/a:/b")], &file, &folders),
        ] {
            let [given_file, given_folders] = given.map(|text| text.map(OsString::from));
            let places = Places::new(given_file, given_folders);
            assert_eq!((&places.files, &places.folders), (files, expected_folders), "{name}");
        }
    }

    #[test]
    fn one_file_and_all_folders_are_read() {
        let folder = env::temp_dir().join(format!("system-roots-{}", std::process::id()));
        let certificates = folder.join("certificates");
        fs::create_dir_all(&certificates).unwrap();
        let [first, second] = [folder.join("first.pem"), folder.join("second.pem")];
        fs::write(&first, format!("text\n{}{}", pem(), pem())).unwrap();
        fs::write(&second, pem()).unwrap();
        fs::copy(&first, certificates.join("all.pem")).unwrap();
        fs::write(certificates.join("one.pem"), pem()).unwrap();
        fs::write(certificates.join("README"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----").unwrap();
        std::os::unix::fs::symlink(&second, certificates.join("linked.pem")).unwrap();
        let none = PathBuf::from("/nowhere");
        for (name, files, folders, expected) in [
            ("nothing", vec![], vec![], 0),
            ("nothing that exists", vec![none.clone()], vec![none.clone()], 0),
            ("the first file that exists", vec![none, first.clone(), second], vec![], 2),
            ("a folder", vec![], vec![certificates.clone()], 4),
            ("a file and a folder that holds it", vec![first], vec![certificates], 4),
        ] {
            assert_eq!(Places { files, folders }.read().len(), expected, "{name}");
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
