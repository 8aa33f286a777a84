//! The guard: a small process of this program that ends what this process has started, when this process is gone without having ended it. A
//! process that is killed (SIGKILL) can do nothing any more, but its end of a pipe is closed, and that the guard sees.
//!
//! So that nothing can escape, a started process waits until the guard knows it: it goes on only when it has read a line, see [`release`].

use std::{
    collections::BTreeSet,
    env,
    io::{self, Write as _},
    os::unix::process::CommandExt as _,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Mutex, PoisonError},
};

use rustix::process::{Pid, Signal, getpid, kill_process_group};
use tracing::warn;

/// The name of the command that runs as the guard.
pub(crate) const COMMAND: &str = "guard";
/// Set for a part that must wait for a line on its standard input before it begins.
pub(crate) const HELD_ENV: &str = "PAYLAB_HELD";
/// What a shell does to wait for that line, and then to become the command that is its first parameter.
pub(crate) const HELD_SHELL: &str = r#"read -r go && exec sh -c "$0" </dev/null"#;

/// The guard of this process.
static GUARD: Mutex<Guard> = Mutex::new(Guard::Unneeded);

#[derive(Debug)]
enum Guard {
    /// Nothing was started yet.
    Unneeded,
    /// It reads from this pipe.
    Reads(ChildStdin),
    /// It cannot be started, or has ended.
    Missing,
}

/// Makes sure that a process group does not outlive this process.
pub(crate) fn watch(group: Pid) {
    // The end of the first process of a container ends all others.
    if !getpid().is_init() {
        tell('+', group);
    }
}

/// A process group has ended.
pub(crate) fn forget(group: Pid) {
    tell('-', group);
}

/// Lets a process go on that waits for a line, now that it is watched.
///
/// # Errors
/// It has ended.
pub(crate) fn release(child: &mut Child) -> io::Result<()> {
    match child.stdin.take() {
        Some(mut input) => input.write_all(b"go\n"),
        None => Ok(()),
    }
}

/// Waits to be released, if this process was started so. False: whoever has started it is gone.
pub(crate) fn is_released() -> bool {
    env::var_os(HELD_ENV).is_none() || io::stdin().read_line(&mut String::new()).is_ok_and(|read| read > 0)
}

/// Runs as the guard: reads which groups there are until whoever writes that is gone, and then ends those that are left.
pub(crate) fn run(input: impl io::BufRead) {
    for group in left(input) {
        // A group that has ended needs no signal.
        let _ = kill_process_group(group, Signal::KILL);
    }
}

/// The groups that are left at the end of the input: `+4711` names one, and `-4711` says that it has ended.
fn left(input: impl io::BufRead) -> Vec<Pid> {
    let mut groups = BTreeSet::new();
    // A line that is not whole was never meant.
    for line in input.lines().map_while(Result::ok) {
        match line.split_at_checked(1) {
            Some(("+", group)) => groups.extend(group.parse::<i32>()),
            Some(("-", group)) => {
                groups.retain(|known| group.parse() != Ok(*known));
            }
            Some((_, _)) | None => {}
        }
    }
    groups.into_iter().filter_map(Pid::from_raw).collect()
}

fn tell(sign: char, group: Pid) {
    let mut guard = GUARD.lock().unwrap_or_else(PoisonError::into_inner);
    if let (Guard::Unneeded, '+') = (&*guard, sign) {
        *guard = start().map_or_else(
            |error| {
                warn!(%error, "what is started now would outlive this process if that were killed");
                Guard::Missing
            },
            Guard::Reads,
        );
    }
    let told = match &mut *guard {
        Guard::Reads(pipe) => pipe.write_all(format!("{sign}{}\n", group.as_raw_nonzero()).as_bytes()),
        Guard::Unneeded | Guard::Missing => Ok(()),
    };
    if let Err(error) = told {
        warn!(%error, "what is started now would outlive this process if that were killed");
        *guard = Guard::Missing;
    }
}

fn start() -> io::Result<ChildStdin> {
    let mut command = Command::new(env::current_exe()?);
    // In a group of its own, so that ^C does not reach it.
    command.arg(COMMAND).process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    // Nobody waits for it: it ends after this process.
    let mut child = command.spawn()?;
    child.stdin.take().ok_or_else(|| io::ErrorKind::BrokenPipe.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_groups_are_left_that_were_named_and_have_not_ended() {
        let left = |text: &str| -> Vec<_> {
            left(text.as_bytes()).into_iter().map(|group| group.as_raw_nonzero().get()).collect()
        };
        assert_eq!(left("+5\n+7\n-5\n+9\n"), [7, 9]);
        assert_eq!(left("+5\n-5\n+5\n"), [5], "a number may be given again");
        assert_eq!(left("x\n\n+\n+0\n-\n-7\n+seven\n"), Vec::<i32>::new());
    }
}
