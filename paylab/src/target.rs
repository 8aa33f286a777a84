//! The user's own service on this machine: which one is paid, the command that starts it, and the secrets that it needs.

use std::{
    env,
    ffi::OsString,
    fs::File,
    hash::{BuildHasher as _, RandomState},
    io::{self, Read as _, Seek as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow};
use paylab_contract::{
    Contract,
    secrets::Secrets,
    spec::{Place, TargetSpec},
};
use paylab_core::{
    fault::{effect::Effect, sampler::Fault},
    field_error::FieldError,
    plan::Plan,
    targets::Target,
};
use paylab_resource::file::Experiment;
use tokio_util::sync::CancellationToken;

use crate::{
    exit::{Interrupted, Misuse},
    guard,
    lab::Database,
    leftovers::ProcessGroup,
    output::tell,
    source::{Source, Sourced, Sources, quoted},
    supervisor::{OrdersTo, Reaped, STOP_TIMEOUT, Service, Supervised},
};

/// How long the command may take until its port answers.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// The pause between two tries to reach the port.
const START_PAUSE: Duration = Duration::from_millis(20);
/// How much of the command's output is shown when it fails, in bytes.
const OUTPUT_SHOWN: u64 = 2000;
/// What the names of variables with secrets begin with.
const SECRET_PREFIX: &str = "PAYLAB_SECRET_";
/// Why a place is refused to which only a cluster leads.
const ON_A_CLUSTER_ONLY: &str = "exists on a cluster only; say where the service is here with --target URL, or start it with --target-command, which replace it";

/// Which service is paid in place of the one that the file names.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct TargetOptions {
    /// The URL of your service, instead of the place that the file's spec.target names
    #[arg(long, value_name = "URL")]
    pub target: Option<String>,
    /// A command that starts your service. It is run by the shell with PORT set, and ended after the run. The service is expected at
    /// 127.0.0.1:$PORT, unless --target says otherwise
    #[arg(long, value_name = "COMMAND")]
    pub target_command: Option<String>,
    /// The database of your service's ledger, instead of the file's spec.target.ledger.sql.url
    #[arg(long, value_name = "URL")]
    pub ledger_url: Option<String>,
}

/// Where the service and its ledger are, where the command line says it.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// The URL of the service.
    pub service: Option<String>,
    /// The URL of the database with its ledger, which may hold a password.
    pub ledger: Option<String>,
}

/// A command and where the service that it starts will be.
#[derive(Debug)]
pub(crate) struct Startable {
    command: String,
    port: u16,
    /// What its output may repeat and no message shows.
    secrets: Secrets,
}

/// The user's own service, started here, until this is dropped.
#[derive(Debug)]
pub(crate) enum TheirProcess {
    /// A child of this process.
    Started { _started: Started },
    /// A child that faults can kill.
    Supervised(Supervised),
}

/// A service that runs as a child of this process, until this is dropped.
#[derive(Debug)]
pub(crate) struct Started {
    child: Child,
    group: ProcessGroup,
    output: File,
    secrets: Secrets,
    /// Whether it has accepted a connection.
    has_served: bool,
}

impl TargetOptions {
    /// The options as a shell reads them again, without secrets; `None`: there are none.
    pub(crate) fn shown(&self) -> Option<String> {
        let option = |name: &str, value: &String| format!("{name} {}", quoted(value.clone()));
        let url = self.target.as_ref().map(|url| option("--target", url));
        let command = self.target_command.as_ref().map(|command| self.secrets().redact(&without_passwords(command)));
        let command = command.map(|command| option("--target-command", &command));
        // Its URL may hold a password.
        let ledger = self.ledger_url.as_ref().map(|_| "--ledger-url URL".to_owned());
        let shown: Vec<_> = url.into_iter().chain(command).chain(ledger).collect();
        (!shown.is_empty()).then(|| shown.join(" "))
    }

    /// The secrets that this process was given, whichever experiments use them: a command may print them, and fail before they are read.
    fn secrets(&self) -> Secrets {
        let ledger = self.ledger_url.iter().map(|url| ("--ledger-url".to_owned(), url.clone()));
        secrets_in(env::vars_os()).chain(ledger).collect()
    }

    /// Refuses a kill where nobody can start the service again, with the path of the fault.
    ///
    /// # Errors
    /// The plan kills a service that is not started here.
    pub(crate) fn check_kills(&self, plan: &Plan) -> Result<(), (String, String)> {
        let is_kill = |fault: &Fault| matches!(fault.effect, Effect::Kill(_));
        let Some(index) = plan.faults().iter().position(is_kill) else { return Ok(()) };
        if let (Target::Theirs(_), None) = (&plan.target, &self.target_command) {
            let problem = "needs somebody who can start the service again, and nobody has its process; start it with --target-command";
            return Err((format!("spec.faults[{index}].kill"), problem.to_owned()));
        }
        Ok(())
    }

    /// What the command line says about where the service is, and the command that is to be started once the files are read.
    ///
    /// # Errors
    /// There is no free port.
    pub(crate) fn prepare(&self) -> anyhow::Result<(Places, Option<Startable>)> {
        let places = Places { service: self.target.clone(), ledger: self.ledger_url.clone() };
        let Some(command) = self.target_command.clone() else { return Ok((places, None)) };
        let port = free_port().context("no port is free for --target-command")?;
        let service = places.service.or_else(|| Some(format!("http://127.0.0.1:{port}")));
        Ok((Places { service, ..places }, Some(Startable { command, port, secrets: self.secrets() })))
    }
}

impl Places {
    /// Puts the URL of the service into what the file says of it.
    ///
    /// # Errors
    /// The file says nothing of it.
    pub(crate) fn replace(&self, target: Option<&mut TargetSpec>) -> Result<(), FieldError> {
        match (self, target) {
            (Self { service: Some(url), .. }, Some(target)) => target.move_to(url),
            (Self { service: None, ledger: None }, _) | (_, Some(_)) => {}
            (_, None) => {
                let problem = "is absent, so that --target, --target-command and --ledger-url have no meaning; say how your service is paid";
                return Err(FieldError::new("spec.target", problem));
            }
        }
        Ok(())
    }

    /// Puts the URL of the ledger into a contract.
    ///
    /// # Errors
    /// Its ledger is in no database.
    pub(crate) fn replace_ledger(&self, contract: Contract) -> Result<Contract, FieldError> {
        match self.ledger.clone() {
            Some(url) => {
                contract.with_ledger_url(url).map_err(|problem| FieldError::new("spec.target.ledger", problem))
            }
            None => Ok(contract),
        }
    }
}

impl Sources {
    /// The same sources, with the service and its ledger at these places.
    #[must_use]
    pub(crate) fn paying(mut self, places: Places) -> Self {
        self.places = places;
        self
    }
}

impl Source {
    /// The same source, with the service and its ledger at these places.
    #[must_use]
    pub(crate) fn paying(mut self, places: Places) -> Self {
        self.places = places;
        self
    }
}

/// Refuses a place that this machine cannot reach, with the name of its field.
///
/// # Errors
/// The service is behind a Service of a cluster, or is to be deployed there.
pub(crate) fn check_place(target: Option<&TargetSpec>) -> Result<(), (&'static str, String)> {
    match target.and_then(TargetSpec::place) {
        Some(Place::Service(_)) => Err(("spec.target.service", ON_A_CLUSTER_ONLY.to_owned())),
        Some(Place::Image(_)) => Err(("spec.target.image", ON_A_CLUSTER_ONLY.to_owned())),
        Some(Place::Url(_)) | None => Ok(()),
    }
}

/// The contract of an experiment with its secrets, which are in the environment.
///
/// # Errors
/// The name of the first variable that is missing.
pub(crate) fn with_secrets(contract: Contract) -> Result<Arc<Contract>, String> {
    let variable = |name: &str| format!("{SECRET_PREFIX}{}", name.to_uppercase());
    let contract = contract.with_secrets(|name| env::var(variable(name)).ok());
    contract.map(Arc::new).map_err(|name| {
        let variable = variable(&name);
        format!("uses {{secret.{name}}}, and the variable {variable} is not set; set it to the secret")
    })
}

impl Source {
    /// The contract of an experiment of this source with its secrets; `None`: Paylab's own service is paid.
    ///
    /// # Errors
    /// This machine cannot run the experiment.
    pub(crate) fn contract_of(
        &self,
        experiment: &Experiment,
        database: &Database,
    ) -> anyhow::Result<Option<Arc<Contract>>> {
        let spec = &experiment.resource.spec;
        let Some(contract) = experiment.contract.clone() else {
            if spec.service.replicas > 1 && !matches!(database, Database::Postgres(_)) {
                let problem =
                    format!("{} replicas need one database that all of them can reach; use 1", spec.service.replicas);
                return Err(self.refuse("spec.service.replicas", problem).into());
            }
            return Ok(None);
        };
        check_place(spec.target.as_ref()).map_err(|(field, problem)| self.refuse(field, problem))?;
        let usable = load_job::Load::tls_of(Some(&contract));
        usable.map_err(|problem| self.refuse("spec.target", problem.to_string()))?;
        Ok(Some(with_secrets(contract).map_err(|problem| self.refuse("spec.target", problem))?))
    }
}

impl Sourced {
    /// The contract of the user's own service with its secrets; `None`: Paylab's own service is paid.
    pub(crate) fn contract(&self) -> anyhow::Result<Option<Arc<Contract>>> {
        let Some(contract) = self.experiment.contract.clone() else { return Ok(None) };
        let target = self.experiment.resource.spec.target.as_ref();
        check_place(target).map_err(|(field, problem)| self.refuse(field, problem))?;
        let usable = load_job::Load::tls_of(Some(&contract));
        usable.map_err(|problem| self.refuse("spec.target", problem.to_string()))?;
        Ok(Some(with_secrets(contract).map_err(|problem| self.refuse("spec.target", problem))?))
    }
}

impl TheirProcess {
    /// Who can kill it.
    pub(crate) fn orders_to(&self) -> Option<OrdersTo> {
        match self {
            Self::Started { .. } => None,
            Self::Supervised(supervised) => Some(supervised.orders_to()),
        }
    }
}

impl Startable {
    /// Starts the command in the way that the plans need.
    ///
    /// # Errors
    /// The command cannot be started, ends, or does not answer in time; or nobody wants that any more.
    pub(crate) fn start_for<'a>(
        self,
        plans: impl IntoIterator<Item = &'a Plan>,
        unwanted: &CancellationToken,
    ) -> anyhow::Result<TheirProcess> {
        if plans.into_iter().any(|plan| plan.kills().next().is_some()) {
            return self.start_supervised(unwanted);
        }
        Ok(TheirProcess::Started { _started: self.start(unwanted)? })
    }

    /// Starts the command as a child that faults can kill, and waits until the service accepts connections.
    ///
    /// # Errors
    /// The command cannot be started, ends, or does not answer in time; or nobody wants that any more.
    fn start_supervised(self, unwanted: &CancellationToken) -> anyhow::Result<TheirProcess> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let output = tempfile::tempfile().context("cannot make a temporary file for the output of --target-command")?;
        let (shown, secrets) = (output.try_clone()?, self.secrets.clone());
        let spawn = Box::new(move || self.spawn(&output));
        let supervised = Supervised::start(Service { spawn, address, reaped: Reaped::Own }, unwanted);
        supervised.map(TheirProcess::Supervised).map_err(|problem| match problem.downcast() {
            Ok(interrupted @ Interrupted) => interrupted.into(),
            Err(problem) => Misuse(format!("--target-command: {problem:#}{}", last_of(&shown, &secrets))).into(),
        })
    }

    fn spawn(&self, output: &File) -> io::Result<Child> {
        let mut shell = Command::new("sh");
        shell.args(["-c", guard::HELD_SHELL, &self.command]).env("PORT", self.port.to_string()).stdin(Stdio::piped());
        shell.stdout(output.try_clone()?).stderr(output.try_clone()?).process_group(0);
        shell.spawn()
    }

    /// Starts the command, and waits until the service accepts connections.
    ///
    /// # Errors
    /// The command cannot be started, ends, or does not answer in time; or nobody wants that any more.
    pub(crate) fn start(self, unwanted: &CancellationToken) -> anyhow::Result<Started> {
        let output = tempfile::tempfile().context("cannot make a temporary file for the output of --target-command")?;
        let child = self.spawn(&output).context("cannot start the shell for --target-command")?;
        let group = ProcessGroup::of(child.id());
        let mut started = Started { child, group, output, secrets: self.secrets, has_served: false };
        guard::release(&mut started.child).context("the shell for --target-command has ended")?;
        if started
            .wait_until_ready(self.port, unwanted)
            .map_err(|problem| Misuse(format!("--target-command: {problem}")))?
        {
            Ok(started)
        } else {
            Err(Interrupted.into())
        }
    }
}

impl Started {
    /// Waits until something answers at a port. False: nobody wants that any more.
    fn wait_until_ready(&mut self, port: u16, unwanted: &CancellationToken) -> anyhow::Result<bool> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let begun = Instant::now();
        loop {
            if TcpStream::connect_timeout(&address, START_TIMEOUT).is_ok() {
                self.has_served = true;
                return Ok(true);
            }
            if unwanted.is_cancelled() {
                return Ok(false);
            }
            if let Some(status) = self.child.try_wait()? {
                return Err(anyhow!(
                    "it ended before anything answered at {address} ({status}){}",
                    last_of(&self.output, &self.secrets)
                ));
            }
            if begun.elapsed() >= START_TIMEOUT {
                let seconds = START_TIMEOUT.as_secs();
                return Err(anyhow!(
                    "nothing answered at {address} within {seconds} s; the service must listen on $PORT{}",
                    last_of(&self.output, &self.secrets)
                ));
            }
            thread::sleep(START_PAUSE);
        }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if self.has_served
            && let Ok(Some(status)) = self.child.try_wait()
        {
            // Nobody has asked it to, so this is why payments failed, or a process is left that has gone away from the command.
            let output = last_of(&self.output, &self.secrets);
            tell(format_args!("--target-command: your service has ended by itself ({status}){output}"));
        }
        self.group.terminate();
        let begun = Instant::now();
        while begun.elapsed() < STOP_TIMEOUT && matches!(self.child.try_wait(), Ok(None)) {
            thread::sleep(START_PAUSE);
        }
        // What is left of the group, such as a child of the shell that did not listen.
        self.group.kill();
        // It was killed, so that this does not wait.
        let _ = self.child.wait();
    }
}

/// The end of a command's output, for a message. The command can read the secrets in its environment.
fn last_of(mut output: &File, secrets: &Secrets) -> String {
    let mut text = String::new();
    let read = output.metadata().and_then(|metadata| {
        output.seek(io::SeekFrom::Start(metadata.len().saturating_sub(OUTPUT_SHOWN)))?;
        let mut bytes = Vec::new();
        output.read_to_end(&mut bytes)?;
        text = secrets.redact(String::from_utf8_lossy(&bytes).trim());
        Ok(())
    });
    if read.is_err() || text.is_empty() { String::new() } else { format!("; its output ends with:\n{text}") }
}

/// The secrets among the variables of an environment.
fn secrets_in(environment: impl Iterator<Item = (OsString, OsString)>) -> impl Iterator<Item = (String, String)> {
    let lossy = |text: OsString| text.to_string_lossy().into_owned();
    environment
        .map(move |(name, value)| (lossy(name), lossy(value)))
        .filter(|(name, _)| name.starts_with(SECRET_PREFIX))
}

/// A command without the passwords of the URLs in it: `postgres://app:(password)@host/x`.
fn without_passwords(command: &str) -> String {
    let (mut shown, mut rest) = (String::new(), command);
    while let Some((before, after)) = rest.split_once("://") {
        shown.extend([before, "://"]);
        rest = after;
        // A password may have a blank or an @ in it, where nobody has encoded it.
        let end = after.find("://").unwrap_or(after.len());
        if let Some(at) = after[..end].rfind('@')
            && let Some(colon) = after[..at].find(':')
        {
            shown.extend([&after[..colon], ":(password)"]);
            rest = &after[at..];
        }
    }
    shown + rest
}

/// A port of the loopback interface that nobody uses. It is below those that Linux gives to connections and to whoever listens at
/// port 0, so that nobody is given it while the service starts, or is dead.
fn free_port() -> io::Result<u16> {
    const FIRST: u16 = 20_000;
    const NUMBER: u16 = 12_768;
    // A place to begin that other processes do not begin at.
    let random = RandomState::new().hash_one(()) % u64::from(NUMBER);
    let begin = u16::try_from(random).unwrap_or_default();
    let ports = (0..NUMBER).map(|index| FIRST + (begin + index) % NUMBER);
    let mut unused = ports.filter(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok());
    unused.next().ok_or_else(|| io::ErrorKind::AddrInUse.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_of_a_command_is_shown_without_secrets() {
        let given = [("PAYLAB_SECRET_TOKEN", "planted4711"), ("PAYLAB_SECRET_EMPTY", ""), ("HOME", "/root")];
        let given = given.into_iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let secrets: Secrets = secrets_in(given).collect();
        assert_eq!(secrets.redact("TOKEN=planted4711; HOME=/root"), "TOKEN=(secret); HOME=/root");
        assert_eq!(secrets.redact("ed4711 is where the output begins"), "(secret) is where the output begins");
        assert_eq!(secrets.redact("1 error"), "1 error");
    }

    #[test]
    fn a_command_is_shown_without_the_passwords_of_its_urls() {
        for (command, shown) in [
            ("node app.js", "node app.js"),
            ("PORT=1 app http://h:80/x", "PORT=1 app http://h:80/x"),
            ("DB=postgres://app:planted@h/d app", "DB=postgres://app:(password)@h/d app"),
            ("app 'mysql://a:p@ss:w rd/@h/d' http://h", "app 'mysql://a:(password)@h/d' http://h"),
            ("app redis://:planted@h mail@h", "app redis://:(password)@h"),
        ] {
            assert_eq!(without_passwords(command), shown);
        }
    }
}
