//! What cargo knows about the workspace.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Deserializer, Value};

use crate::process;

/// The answer of `cargo metadata`, as far as the chores need it.
#[derive(Debug)]
pub(crate) struct Metadata {
    /// Where cargo puts what it builds.
    pub(crate) target_directory: PathBuf,
    /// The features of the root package, without `default`.
    pub(crate) root_features: Vec<String>,
    targets: Vec<Target>,
}

/// A program or library of the workspace.
#[derive(Debug)]
struct Target {
    package: String,
    kind: String,
    name: String,
}

impl Metadata {
    /// Asks cargo.
    ///
    /// # Errors
    ///
    /// Cargo failed, or its answer was not understood.
    pub(crate) fn read() -> Result<Self, String> {
        let mut command = process::cargo();
        command.args(["metadata", "--no-deps", "--format-version", "1"]);
        Self::parse(&process::output_of(&mut command)?, process::root())
    }

    fn parse(text: &str, root: &Path) -> Result<Self, String> {
        let value: Value = serde_json::from_str(text).map_err(|error| format!("cargo metadata: {error}"))?;
        let directory = value["target_directory"].as_str().ok_or("cargo metadata: no target_directory")?;
        let root_manifest = root.join("Cargo.toml");
        let mut found =
            Self { target_directory: directory.into(), root_features: Vec::new(), targets: Vec::new() };
        for package in array(&value["packages"]) {
            let package_name = package["name"].as_str().ok_or("cargo metadata: a package without a name")?;
            if Path::new(package["manifest_path"].as_str().unwrap_or_default()) == root_manifest {
                let features = package["features"].as_object().into_iter().flatten();
                found.root_features =
                    features.map(|(name, _)| name.clone()).filter(|name| name != "default").collect();
            }
            for target in array(&package["targets"]) {
                for kind in array(&target["kind"]) {
                    let (kind, name) = (string(kind), string(&target["name"]));
                    found.targets.push(Target { package: package_name.to_owned(), kind, name });
                }
            }
        }
        Ok(found)
    }

    /// The names of all examples.
    pub(crate) fn examples(&self) -> Vec<&str> {
        self.targets.iter().filter(|target| target.kind == "example").map(|target| &*target.name).collect()
    }

    /// The packages that have an integration test of this name.
    pub(crate) fn packages_with_test(&self, name: &str) -> Vec<&str> {
        let tests = self.targets.iter().filter(|target| target.kind == "test" && target.name == name);
        tests.map(|target| &*target.package).collect()
    }
}

/// A program that cargo has built.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Executable {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
}

/// Runs `cargo build` with these arguments and says which programs of `kind` (`bin`, `example`) came out.
///
/// The programs are then started directly: `cargo run -p x` chooses features for one package alone and would
/// build the dependencies once more.
///
/// # Errors
///
/// The build failed.
pub(crate) fn build(command: &mut Command, kind: &str) -> Result<Vec<Executable>, String> {
    println!("$ {}", process::line(command));
    command.arg("--message-format=json-render-diagnostics");
    executables(&process::output_of(command)?, kind)
}

fn executables(messages: &str, kind: &str) -> Result<Vec<Executable>, String> {
    let mut found = Vec::new();
    for message in Deserializer::from_str(messages).into_iter::<Value>() {
        let message = message.map_err(|error| format!("cargo build: {error}"))?;
        let target = &message["target"];
        if let Some(path) = message["executable"].as_str()
            && array(&target["kind"]).iter().any(|k| k == kind)
        {
            found.push(Executable { name: string(&target["name"]), path: path.into() });
        }
    }
    found.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(found)
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn string(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = r#"{
        "target_directory": "/house/target",
        "packages": [
            {"name": "house", "manifest_path": "/house/Cargo.toml", "features": {"default": ["web"], "web": []},
             "targets": [{"kind": ["lib"], "name": "house"}, {"kind": ["example"], "name": "gather"}]},
            {"name": "room", "manifest_path": "/house/room/Cargo.toml", "features": {"secret": []},
             "targets": [{"kind": ["test"], "name": "loom"}]}
        ]}"#;

    #[test]
    fn features_are_those_of_the_root_package_without_default() {
        let metadata = Metadata::parse(ANSWER, Path::new("/house")).unwrap();
        assert_eq!(metadata.root_features, ["web"]);
        assert_eq!(metadata.target_directory, Path::new("/house/target"));
    }

    #[test]
    fn targets_are_found_by_kind_and_name() {
        let metadata = Metadata::parse(ANSWER, Path::new("/house")).unwrap();
        assert_eq!(metadata.examples(), ["gather"]);
        assert_eq!(metadata.packages_with_test("loom"), ["room"]);
        assert!(metadata.packages_with_test("shuttle").is_empty());
    }

    #[test]
    fn an_answer_that_is_not_understood_is_an_error() {
        assert!(Metadata::parse("{}", Path::new("/house")).is_err());
        assert!(Metadata::parse("not json", Path::new("/house")).is_err());
    }

    #[test]
    fn built_programs_are_read_from_the_messages_of_cargo() {
        let messages = r#"{"reason":"compiler-artifact","target":{"kind":["lib"],"name":"house"},"executable":null}
            {"reason":"compiler-artifact","target":{"kind":["example"],"name":"b"},"executable":"/t/b"}
            {"reason":"compiler-artifact","target":{"kind":["example"],"name":"a"},"executable":"/t/a"}
            {"reason":"compiler-artifact","target":{"kind":["bin"],"name":"house"},"executable":"/t/house"}
            {"reason":"build-finished","success":true}"#;
        let found = executables(messages, "example").unwrap();
        let names: Vec<_> = found.iter().map(|executable| executable.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
    }
}
