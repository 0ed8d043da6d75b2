//! The text files of the repository, or of a sample in memory.

use std::fs;
use std::io;
use std::path::Path;

/// Directories that hold nothing of ours, wherever they are.
const NOT_OURS: [&str; 4] = [".git", "target", "node_modules", ".venv"];

/// A text file; its path is relative to the root and has forward slashes.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// All text files, sorted by path.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) files: Vec<File>,
}

impl Tree {
    /// Reads every file under `root` that is text.
    pub(crate) fn read(root: &Path) -> io::Result<Self> {
        let mut files = Vec::new();
        collect(root, "", &mut files)?;
        files.sort_by(|left, right| left.path.cmp(&right.path));
        Ok(Self { files })
    }

    /// A tree in memory, for planted breaches.
    pub(crate) fn sample(files: &[(&str, &str)]) -> Self {
        let file = |&(path, text): &(&str, &str)| File { path: path.to_owned(), text: text.to_owned() };
        Self { files: files.iter().map(file).collect() }
    }

    /// The text of one file.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.files.iter().find(|file| file.path == path).map(|file| file.text.as_str())
    }

    /// All Rust sources.
    pub(crate) fn rust(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.path.ends_with(".rs"))
    }

    /// The crates under `actors/`: the name of the room and its manifest.
    pub(crate) fn rooms(&self) -> impl Iterator<Item = (&str, &File)> {
        self.files.iter().filter_map(|file| {
            let room = file.path.strip_prefix("actors/")?.strip_suffix("/Cargo.toml")?;
            (!room.contains('/')).then_some((room, file))
        })
    }
}

fn collect(directory: &Path, prefix: &str, files: &mut Vec<File>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{prefix}{name}");
        let kind = entry.file_type()?;
        if kind.is_dir() {
            if !NOT_OURS.contains(&name.as_str()) {
                collect(&entry.path(), &format!("{path}/"), files)?;
            }
        } else if kind.is_file() {
            // What is not UTF-8 is not text.
            if let Ok(text) = String::from_utf8(fs::read(entry.path())?) {
                files.push(File { path, text });
            }
        }
    }
    Ok(())
}

/// The lines of a source file that are code outside its inline test modules, each with its number from 1.
///
/// Relies on rustfmt: a test module starts and ends in the first column.
pub(crate) fn lines_outside_tests(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let (mut marked, mut inside) = (false, false);
    text.lines().enumerate().filter_map(move |(index, line)| {
        if inside {
            inside = line != "}";
            return None;
        }
        if line == "#[cfg(test)]" {
            marked = true;
            return None;
        }
        if marked && !line.starts_with("#[") {
            marked = false;
            if line.starts_with("mod ") || line.starts_with("pub(crate) mod ") {
                inside = line.ends_with('{');
                return None;
            }
        }
        Some((index + 1, line))
    })
}

#[test]
fn inline_test_modules_are_left_out_and_what_follows_is_not() {
    let text = "use x;\n#[cfg(test)]\nmod tests {\n    fn a() {\n    }\n}\nfn b() {}\n#[cfg(test)]\nmod more;\nfn c() {}";
    let numbers: Vec<_> = lines_outside_tests(text).map(|(number, _)| number).collect();
    assert_eq!(numbers, [1, 7, 10]);
}

#[test]
fn the_repository_is_read_and_what_is_not_ours_is_not() {
    let tree = Tree::read(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
    assert!(tree.text("Cargo.toml").is_some());
    assert!(tree.rooms().any(|(room, _)| room == "core"));
    assert!(!tree.files.iter().any(|file| file.path.starts_with("target/")));
}
