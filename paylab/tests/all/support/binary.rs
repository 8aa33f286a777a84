//! The real binary, as a user starts it.

use std::{
    io::{self, BufRead as _, BufReader, Lines, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Child, ChildStderr, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

/// A command line of the binary, in the root of the repository.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_paylab"));
    command.args(arguments).current_dir(root()).stdin(Stdio::null());
    command
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Runs a command line to its end.
pub(crate) fn paylab(arguments: &[&str], stdin: &str) -> Output {
    with_input(&mut command(arguments), stdin)
}

/// Runs a command to its end, with a text as its standard input.
pub(crate) fn with_input(command: &mut Command, stdin: &str) -> Output {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A command that is refused before it reads closes the pipe.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    child.wait_with_output().unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What a command line has printed on both streams.
pub(crate) fn printed(output: &Output) -> String {
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

pub(crate) fn experiment(spec: &str) -> String {
    named("test", spec)
}

pub(crate) fn named(name: &str, spec: &str) -> String {
    format!("apiVersion: paylab.dev/v1alpha1\nkind: ChaosExperiment\nmetadata: {{name: {name}}}\nspec: {spec}\n")
}

/// A command that runs until it is told to end.
pub(crate) struct Running {
    pub(crate) child: Child,
    pub(crate) log: Lines<BufReader<ChildStderr>>,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self::attend(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    pub(crate) fn attend(mut child: Child) -> Self {
        let log = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, log }
    }

    /// Waits for a line of the log that contains a text.
    pub(crate) fn line(&mut self, text: &str) -> String {
        self.log.by_ref().map(Result::unwrap).find(|line| line.contains(text)).unwrap()
    }

    /// Waits for a line of the log, and returns the number behind `name=` in it.
    pub(crate) fn logged(&mut self, text: &str, name: &str) -> u16 {
        let line = self.line(text);
        let number = line.split_once(&format!("{name}=")).unwrap().1.split(' ').next().unwrap();
        number.parse().unwrap()
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    /// Sends a signal until it has ended, because one that comes too soon after the first is taken for the same.
    pub(crate) fn signal_until_end(&mut self, name: &str) {
        let begun = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < Duration::from_secs(60), "it has not ended on {name}");
            self.signal(name);
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for its end, and returns its exit code and what it has logged since.
    pub(crate) fn end(mut self) -> (Option<i32>, Vec<String>) {
        let log = self.log.map(Result::unwrap).collect();
        (self.child.wait().unwrap().code(), log)
    }

    /// Ends it as Kubernetes does, and returns what it logged since.
    pub(crate) fn terminate(self) -> (Option<i32>, Vec<String>) {
        self.signal("TERM");
        self.end()
    }
}

/// Sends a request and reads to the end of the connection.
pub(crate) fn ask(address: &str, request: &str) -> String {
    try_ask(address, request).unwrap()
}

/// The same, where the connection may be reset.
pub(crate) fn try_ask(address: &str, request: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
