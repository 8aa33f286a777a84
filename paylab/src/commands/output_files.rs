//! The files that a command writes: none is one that it reads, or another that it writes, however their paths are spelled.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use anyhow::anyhow;

use crate::{exit::Misuse, output::in_words};

/// A file, whatever path leads to it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Identity {
    /// It exists: its device and its inode.
    Existing(u64, u64),
    /// It does not exist: its folder and its name there.
    New(PathBuf),
}

impl Identity {
    /// `None`: it is a pipe or a device, which several may write to, or it cannot be written at all.
    fn of(path: &Path) -> Option<Self> {
        match fs::metadata(path) {
            Ok(existing) => existing.is_file().then(|| Self::Existing(existing.dev(), existing.ino())),
            Err(_) => {
                let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
                Some(Self::New(folder.unwrap_or(Path::new(".")).canonicalize().ok()?.join(path.file_name()?)))
            }
        }
    }
}

/// Refuses files, each with its option, that are read or asked for twice.
///
/// # Errors
/// The first such file.
pub(super) fn check<'a>(written: &[(&str, &Path)], read: impl IntoIterator<Item = &'a Path>) -> anyhow::Result<()> {
    let read: Vec<_> = read.into_iter().filter_map(Identity::of).collect();
    let mut earlier = Vec::new();
    for (option, file) in written {
        let Some(identity) = Identity::of(file) else { continue };
        if read.contains(&identity) {
            return Err(Misuse(format!("{option}: {} is read; name another", file.display())).into());
        }
        if let Some((_, other)) = earlier.iter().find(|(one, _)| *one == identity) {
            let problem = format!("{option}: {} is the file of {other} too; name another", file.display());
            return Err(Misuse(problem).into());
        }
        earlier.push((identity, option));
    }
    Ok(())
}

/// Removes the file of an earlier run, so that a pipeline never takes it for what a run that failed has written, and makes sure that the new one
/// can be written.
///
/// # Errors
/// It cannot be written.
pub(super) fn clear(option: &str, file: &Path) -> anyhow::Result<()> {
    let existing = fs::metadata(file);
    if existing.as_ref().is_ok_and(|existing| !existing.is_file() && !existing.is_dir()) {
        // A pipe or a device.
        return Ok(());
    }
    // The file itself stays as it is, because another name may lead to it.
    let opened = fs::OpenOptions::new().write(true).create(true).truncate(false).open(file);
    let cleared = opened.and_then(|_| fs::canonicalize(file)).and_then(fs::remove_file);
    cleared.map_err(|error| Misuse(format!("{option}: cannot write {}: {}", file.display(), in_words(&error))).into())
}

/// Writes a file, whole or not at all.
///
/// # Errors
/// It cannot be written.
pub(crate) fn write(option: &str, file: &Path, text: &str) -> anyhow::Result<()> {
    let problem = |error: io::Error| anyhow!("cannot write {option} {}: {}", file.display(), in_words(&error));
    let mut opened = fs::File::create(file).map_err(problem)?;
    opened.write_all(text.as_bytes()).map_err(|error| {
        if opened.metadata().is_ok_and(|written| written.is_file()) {
            // It is not whole. If it cannot be removed either, the error says enough.
            let _ = fs::remove_file(file);
        }
        problem(error)
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_file_is_known_by_every_path_that_leads_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("inner")).unwrap();
        fs::write(path("input.yaml"), "x").unwrap();
        symlink(path("input.yaml"), path("link.yaml")).unwrap();
        fs::hard_link(path("input.yaml"), path("hard.yaml")).unwrap();
        symlink(path("inner"), path("alias")).unwrap();
        let (input, null) = (path("input.yaml"), Path::new("/dev/null"));
        let refused = |written: &[(&str, &Path)]| {
            check(written, [input.as_path()]).map_or_else(|error| error.to_string(), |()| String::new())
        };
        for same in ["input.yaml", "inner/../input.yaml", "link.yaml", "hard.yaml"] {
            assert!(refused(&[("--report", &path(same))]).ends_with("is read; name another"), "{same}");
        }
        let twice = [("--report", &*path("inner/new")), ("--junit", &*path("alias/new"))];
        assert!(refused(&twice).ends_with("is the file of --report too; name another"));
        assert_eq!(refused(&[("--report", &*path("new")), ("--junit", &*path("inner/new"))]), "");
        assert_eq!(refused(&[("--report", null), ("--junit", null)]), "");
    }

    #[test]
    fn what_is_cleared_is_gone_and_its_other_name_keeps_its_text() {
        let folder = tempfile::tempdir().unwrap();
        let (old, other) = (folder.path().join("old"), folder.path().join("other"));
        fs::write(&old, "text").unwrap();
        fs::hard_link(&old, &other).unwrap();
        clear("--report", &old).unwrap();
        assert!(!old.exists());
        assert_eq!(fs::read_to_string(&other).unwrap(), "text");
        assert!(clear("--report", &folder.path().join("none/x")).is_err());
    }
}
