//! The directories in which evidence is kept: prepared before a run, so that nothing of somebody else's is overwritten, and no evidence of
//! an earlier run is taken for this one's.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use super::{FILES, OUTCOME};
use crate::{
    exit::Misuse,
    output::{in_words, tell},
};

/// Where the evidence of each experiment of a run is kept.
#[derive(Debug)]
pub(crate) struct Places(Vec<PathBuf>);

impl Places {
    /// Prepares the directory: for one experiment this one, for several one in it for each, by its name.
    ///
    /// # Errors
    /// It holds something else, or it cannot be written.
    pub(crate) fn prepare(directory: &Path, names: &[String]) -> anyhow::Result<Self> {
        let refused = |problem: String| Misuse(format!("--evidence: {problem}"));
        let places: Vec<_> = match names {
            [_] => vec![directory.to_owned()],
            several => unique(several).iter().map(|name| directory.join(name)).collect(),
        };
        for place in &places {
            check(place).map_err(refused)?;
        }
        if let [_, _, ..] = names {
            check_parent(directory, &places).map_err(refused)?;
            remove(directory).map_err(refused)?;
        }
        for place in &places {
            clear(place).map_err(refused)?;
        }
        Ok(Self(places))
    }

    /// The directory of one of the experiments, by its place among them.
    pub(crate) fn of(&self, index: usize) -> Option<&Path> {
        self.0.get(index).map(PathBuf::as_path)
    }
}

/// The files that evidence in a directory, or in the directories in it, is read from.
pub(crate) fn files_of(directory: &Path) -> Vec<PathBuf> {
    let inside = fs::read_dir(directory).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let places = std::iter::once(directory.to_owned()).chain(inside);
    places.flat_map(|place| FILES.map(|file| place.join(file))).filter(|file| file.is_file()).collect()
}

/// The names, each followed by a number where it was there before.
fn unique(names: &[String]) -> Vec<String> {
    let mut taken = BTreeSet::new();
    let mut unused = |name: &String| {
        let mut candidates = std::iter::once(name.clone()).chain((2..).map(|number| format!("{name}-{number}")));
        let free = candidates.find(|candidate| !taken.contains(candidate)).unwrap_or_else(|| name.clone());
        taken.insert(free.clone());
        free
    };
    names.iter().map(&mut unused).collect()
}

/// Refuses a directory that holds something else.
fn check(place: &Path) -> Result<(), String> {
    let shown = place.display();
    let entries = match fs::read_dir(place) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(format!("{shown} is a file; name a directory that is new or empty"));
        }
        Err(error) => return Err(format!("cannot read {shown}: {}", in_words(&error))),
    };
    let others = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    match others.filter(|name| !FILES.contains(&name.as_str())).min() {
        None => Ok(()),
        Some(other) => Err(format!("{shown} holds something else ({other}); name a directory that is new or empty")),
    }
}

/// Refuses a directory for several experiments that holds the evidence of another one, which a report of the directory would show too.
fn check_parent(directory: &Path, places: &[PathBuf]) -> Result<(), String> {
    let Ok(entries) = fs::read_dir(directory) else { return Ok(()) };
    let inside = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut others = inside.filter(|place| place.join(OUTCOME).exists() && !places.contains(place));
    match others.next() {
        None => Ok(()),
        Some(other) => {
            let (shown, other) = (directory.display(), other.display());
            Err(format!(
                "{shown} holds the evidence of another experiment ({other}); remove it, or name another directory"
            ))
        }
    }
}

/// Removes the evidence of an earlier run, and makes sure that the new one can be written.
fn clear(place: &Path) -> Result<(), String> {
    let unwritable = |error: io::Error| format!("cannot write {}: {}", place.display(), in_words(&error));
    fs::create_dir_all(place).map_err(unwritable)?;
    remove(place)?;
    let probe = place.join(FILES[0]);
    fs::write(&probe, "").and_then(|()| fs::remove_file(&probe)).map_err(unwritable)
}

/// Removes the evidence of an earlier run.
fn remove(place: &Path) -> Result<(), String> {
    let unwritable = |error: io::Error| format!("cannot write {}: {}", place.display(), in_words(&error));
    let mut replaced = false;
    for file in FILES {
        match fs::remove_file(place.join(file)) {
            Ok(()) => replaced = true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(unwritable(error)),
        }
    }
    if replaced {
        tell(format_args!("--evidence: replacing the evidence of an earlier run in {}", place.display()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn experiments_of_one_name_have_directories_of_their_own() {
        let names = ["a", "b", "a", "a"].map(str::to_owned);
        assert_eq!(unique(&names), ["a", "b", "a-2", "a-3"]);
    }
}
