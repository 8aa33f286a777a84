//! The command line: parse, start tracing, dispatch, map to an exit code.

use std::{
    env,
    io::{self, Write as _},
    process::ExitCode,
};

use clap::{
    CommandFactory as _, Parser, Subcommand,
    error::{ContextKind, ContextValue, ErrorKind},
};
use paylab_resource::definition::definition;

use crate::{
    commands::{check, explain, gauntlet, init, part, predict, report, run, serve, shrink, supervise, wait},
    exit::{Exit, INTERNAL, USAGE, code_of},
    guard,
    output::{in_words, print_text, tell},
    source::InvalidExperiment,
    stray,
    toxiproxy_options::two_dashes,
};

const EXAMPLES: &str = "\
Examples:
  paylab run examples/never-pay-too-little.yaml           run a lesson, print its verdict
  paylab run examples/pay-exactly-once.yaml --seed 7      the same with another seed
  paylab run examples/*.yaml --quiet                      several, one line for each
  paylab init --like stripe > my-service.yaml             your own service: a file to begin with
  paylab check my-service.yaml                            whether that file says what is true
  paylab predict examples/never-pay-too-little.yaml       the predicted totals, without a run
  paylab explain examples/never-pay-too-little.yaml 3     one payment, attempt by attempt
  paylab completions bash > /etc/bash_completion.d/paylab

Exit codes: 0 the verdict is what spec.expect says, 1 it is not, 2 inconclusive, 64 usage or invalid file, 70 internal.";

const RUN_EXAMPLES: &str = "\
Examples:
  paylab run examples/never-pay-too-little.yaml
  paylab run examples/pay-exactly-once.yaml --seed 7 --concurrency 64
  paylab run examples/pay-exactly-once.yaml --database postgres://postgres@localhost/postgres
  paylab run examples/pay-exactly-once.yaml --output json | jq .verdict
  paylab run examples/pay-too-little.yaml examples/pay-exactly-once.yaml --quiet      one after the other, one line for each
  paylab run examples/*.yaml --junit paylab.xml                     for a pipeline that reads JUnit XML
  paylab run examples/pay-exactly-once.yaml --until-bound 1e-4      more runs with other seeds, until the bug rate is below that
  paylab run my-service.yaml --target-command 'node app.js'         your own service, which the file describes (spec.target)

With several experiments, in one file or in several, all files are read first, and the worst exit code counts: 70, 2, 1, 0.

Exit codes: 0 the verdict is what spec.expect says, 1 it is not, 2 inconclusive, 64 usage or invalid file, 70 internal.";

const INIT_EXAMPLES: &str = "\
Examples:
  paylab init > my-service.yaml
  paylab init --like stripe > my-service.yaml";

const CHECK_EXAMPLES: &str = "\
Examples:
  paylab check my-service.yaml
  paylab check my-service.yaml --target http://127.0.0.1:9000
  paylab check my-service.yaml --target-command 'node app.js'
  PAYLAB_SECRET_TOKEN=... paylab check my-service.yaml            the file says {secret.token}

Exit codes: 0 the contract holds, 64 it does not, or usage or invalid file, 70 internal.";

const GAUNTLET_EXAMPLES: &str = "\
Examples:
  paylab gauntlet                                                     Paylab's own eight modes, the broken ones among them
  paylab gauntlet my-service.yaml                                     your own service, which the file describes (spec.target)
  paylab gauntlet my-service.yaml --target-command 'node app.js' --payments 500
  paylab gauntlet my-service.yaml --only lost-answer,cut-at-once      some of the nemeses
  paylab gauntlet my-service.yaml --until-bound 1e-3 --budget 2m      until the bug rate is below that, or something breaks
  paylab gauntlet my-service.yaml --output json | jq .rows[0].cells
  paylab gauntlet --list                                              every nemesis, and what it imitates
  paylab gauntlet my-service.yaml --emit cells/ && kubectl apply -f cells/ && paylab wait --selector paylab.dev/gauntlet=my-service

Exit codes: 0 every cell is as expected (a service of your own: the claim holds), 1 one is not, 2 of one nothing is known, 64 usage or
invalid file, 70 internal.";

const SHRINK_EXAMPLES: &str = "\
Examples:
  paylab shrink examples/never-pay-too-little.yaml                    prints the smallest experiment that shows the same
  paylab shrink examples/never-pay-too-little.yaml -o small.yaml && paylab run small.yaml
  paylab shrink my-service.yaml --target-command 'node app.js' -o small.yaml --budget 1m --runs 100

The experiment must break its claim. Every change that is tried is a real run.

Exit codes: 0 the smallest run was found, 2 inconclusive, 64 usage, invalid file, or nothing breaks the claim, 70 internal.";

const PREDICT_EXAMPLES: &str = "\
Examples:
  paylab predict examples/never-pay-too-little.yaml
  paylab predict examples/never-pay-too-little.yaml --seed 7 --output json";

const EXPLAIN_EXAMPLES: &str = "\
Examples:
  paylab explain examples/never-pay-too-little.yaml 3
  paylab explain examples/pay-exactly-once.yaml 38 --seed 7
  paylab explain evidence/ 3                              what happened to it in a run with --evidence evidence/";

const REPORT_EXAMPLES: &str = "\
Examples:
  paylab run examples/never-pay-too-little.yaml --evidence evidence/
  paylab report evidence/                                 the report again
  paylab report evidence/ --report report.html            one file that a person opens
  paylab report evidence/ --junit paylab.xml --markdown paylab.md
  paylab report evidence/ --compare before/               what is new and what has gone since an earlier run
  paylab report --from never-pay-too-little --report report.html      an experiment on a cluster, also when its pods are gone

Exit codes: 0 the report was made, whatever its verdict, 64 usage or no whole evidence, 70 internal.";

const SERVICE_EXAMPLES: &str = "\
Examples:
  paylab payment-service --dedup UniqueKey
  paylab payment-service --listen 127.0.0.1:9000 --database postgres://postgres@localhost/postgres
  curl -d '{\"src\":\"bianca\",\"dest\":\"marc\",\"amount\":1}' -H 'Content-Type: application/json' localhost:8080/payments/";

const PROXY_EXAMPLES: &str = "\
Examples:
  paylab reset-proxy --upstream 127.0.0.1:8080
  paylab reset-proxy --listen 127.0.0.1:9888 --control 127.0.0.1:9474 --upstream payments.internal:80

Instead of Toxiproxy (its variable LOG_LEVEL has an effect too):
  paylab reset-proxy --host localhost --port 8474 --config toxiproxy.json --seed 42
  curl -d '{\"name\":\"redis\",\"listen\":\"localhost:26379\",\"upstream\":\"localhost:6379\"}' localhost:8474/proxies
  curl -d '{\"type\":\"latency\",\"attributes\":{\"latency\":1000}}' localhost:8474/proxies/redis/toxics";

const SERVE_EXAMPLES: &str = "\
Examples:
  paylab serve
  curl -d '{\"type\":\"reset_peer\",\"stream\":\"downstream\",\"toxicity\":0.3}' localhost:8474/proxies/payment/toxics
  curl -d '{\"src\":\"bianca\",\"dest\":\"marc\",\"amount\":1}' -H 'Content-Type: application/json' localhost:8888/payments/
  curl localhost:8080/stats";

const SUPERVISE_EXAMPLES: &str = "\
Examples:
  PAYLAB_SUPERVISOR_TOKEN=secret paylab supervise --serves 127.0.0.1:8080 -- paylab payment-service --dedup UniqueKey
  PAYLAB_SUPERVISOR_TOKEN=secret paylab reset-proxy --upstream 127.0.0.1:8080 --supervisor 127.0.0.1:8475

It ends when the command ends without an order, with its exit code. Signals are passed on to the command.";

const LOAD_EXAMPLES: &str = "\
Examples:
  paylab load-job examples/pay-exactly-once.yaml
  paylab load-job examples/pay-exactly-once.yaml --proxy 10.0.0.2:8888 --control 10.0.0.2:8474 --service 10.0.0.3:8080
  paylab load-job examples/pay-exactly-once.yaml --output json | jq .verdict

Exit codes: 0 the verdict is what spec.expect says, 1 it is not, 2 inconclusive, 64 usage or invalid file, 70 internal.";

const OPERATOR_EXAMPLES: &str = "\
Examples:
  helm install paylab charts/paylab --namespace paylab --create-namespace     in the cluster: the usual installation
  paylab operator --image registry.local/paylab:0.1.0                         outside the cluster, with KUBECONFIG, for a trial";

const WAIT_EXAMPLES: &str = "\
Examples:
  paylab wait never-pay-too-little
  paylab wait never-pay-too-little --namespace lessons --timeout 2m
  paylab wait --selector paylab.dev/gauntlet=checkout --timeout 30m     all cells of a gauntlet

With several experiments the worst exit code counts.

Exit codes: 0 the verdict is what spec.expect says, 1 it is not, 2 inconclusive or failed, 70 not ended in time, or no such experiment.";

/// Proves with evidence whether a payment path loses money or pays twice when connections break
#[derive(Debug, Parser)]
#[command(name = "paylab", version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run an experiment on this machine and judge it
    #[command(after_help = RUN_EXAMPLES)]
    Run(run::Options),
    /// Print a commented experiment to begin with
    #[command(after_help = INIT_EXAMPLES)]
    Init(init::Options),
    /// Check what a file says about your own service (spec.target), step by step, on a path without faults
    #[command(after_help = CHECK_EXAMPLES)]
    Check(check::Options),
    /// Run a service under every nemesis, one experiment each, and print one table; without a file, Paylab's own eight modes
    #[command(after_help = GAUNTLET_EXAMPLES)]
    Gauntlet(gauntlet::Options),
    /// Make a run that breaks its claim as small as possible: fewer payments, faults and attempts that show the same
    #[command(after_help = SHRINK_EXAMPLES)]
    Shrink(shrink::Options),
    /// Predict the totals: exact for the seed, and mean and 95 % interval in theory
    #[command(after_help = PREDICT_EXAMPLES)]
    Predict(predict::Options),
    /// Show what will happen to one payment, attempt by attempt, as a sequence diagram; from evidence, what happened
    #[command(after_help = EXPLAIN_EXAMPLES)]
    Explain(explain::Options),
    /// Make every form of a report from the evidence of a run
    #[command(after_help = REPORT_EXAMPLES)]
    Report(report::Options),
    /// Start the payment service, in front of it a proxy with Toxiproxy's API, and a page: for the lesson by hand
    #[command(after_help = SERVE_EXAMPLES)]
    Serve(part::Logged<serve::Options>),
    /// Print the CustomResourceDefinition
    #[command(after_help = "Example:\n  paylab crd | kubectl apply -f -")]
    Crd,
    /// Start the payment service alone
    #[command(after_help = SERVICE_EXAMPLES)]
    PaymentService(part::Logged<payment_service::options::Options>),
    /// Start the reset proxy alone; it can replace Toxiproxy
    #[command(after_help = PROXY_EXAMPLES)]
    ResetProxy(part::Logged<reset_proxy::options::Options>),
    /// Start a service that the faults of a proxy can kill, and start it again each time; also as the first process of a container
    #[command(after_help = SUPERVISE_EXAMPLES)]
    Supervise(part::Logged<supervise::Options>),
    /// Start one load client against a service and a proxy that run elsewhere
    #[command(after_help = LOAD_EXAMPLES)]
    LoadJob(part::LoadOptions),
    /// Start the operator, which runs each ChaosExperiment on a cluster and writes its verdict
    #[command(after_help = OPERATOR_EXAMPLES)]
    Operator(Box<part::Logged<operator::options::Options>>),
    /// Wait until an experiment on a cluster, or all that a selector matches, have their verdicts
    #[command(after_help = WAIT_EXAMPLES)]
    Wait(operator::wait::Options),
    /// End the process groups that standard input names, once it is closed (started by this program itself)
    #[command(name = guard::COMMAND, hide = true)]
    Guard,
    /// Print completions for a shell
    #[command(after_help = "Example:\n  paylab completions bash > /etc/bash_completion.d/paylab")]
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    let command = match Cli::try_parse_from(two_dashes(env::args_os())) {
        Ok(Cli { command }) => command,
        Err(error) => return refuse(&without_urls(error)),
    };
    match dispatch(command) {
        Ok(exit) => exit.into(),
        Err(error) => {
            if error.is::<InvalidExperiment>() {
                // Each line begins with the name of its file. If it cannot be written, there is nobody left to be told.
                let _ = writeln!(anstream::stderr(), "{error}");
            } else {
                tell(format_args!("{error:#}"));
            }
            ExitCode::from(code_of(&error))
        }
    }
}

/// Prints why a command line is refused, or the help that it asks for.
fn refuse(refusal: &clap::Error) -> ExitCode {
    match refusal.print() {
        _ if refusal.use_stderr() => ExitCode::from(USAGE),
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            tell(format_args!("cannot write to standard output: {}", in_words(&error)));
            ExitCode::from(INTERNAL)
        }
        Ok(()) | Err(_) => ExitCode::SUCCESS,
    }
}

/// The refusal of a command line, without a stray argument that may be a database URL or a part of one.
fn without_urls(mut refusal: clap::Error) -> clap::Error {
    for kind in [ContextKind::InvalidArg, ContextKind::InvalidSubcommand, ContextKind::InvalidValue] {
        let Some(ContextValue::String(stray)) = refusal.get(kind) else { continue };
        let is_stray = !stray.starts_with('-') && refusal.kind() == ErrorKind::UnknownArgument;
        if stray::is_url(stray) || (is_stray && stray::database_is_given()) {
            refusal.insert(kind, ContextValue::String(stray::HIDDEN.to_owned()));
            refusal.remove(ContextKind::Suggested);
        }
    }
    refusal
}

fn dispatch(command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Run(options) => run::run(&options),
        Command::Init(options) => init::init(&options),
        Command::Check(options) => check::check(&options),
        Command::Gauntlet(options) => gauntlet::gauntlet(&options),
        Command::Shrink(options) => shrink::shrink(&options),
        Command::Predict(options) => predict::predict(&options),
        Command::Explain(options) => explain::explain(&options),
        Command::Report(options) => report::report(&options),
        Command::Serve(options) => serve::serve(options),
        Command::Crd => {
            print_text(&serde_saphyr::to_string(&definition())?)?;
            Ok(Exit::AsExpected)
        }
        Command::PaymentService(options) => part::payment_service(options),
        Command::Guard => {
            guard::run(io::stdin().lock());
            Ok(Exit::AsExpected)
        }
        Command::ResetProxy(options) => part::reset_proxy(options),
        Command::Supervise(options) => supervise::supervise(options),
        Command::LoadJob(options) => part::load_job(options),
        Command::Operator(options) => part::operator(*options),
        Command::Wait(options) => wait::wait(&options),
        Command::Completions { shell } => {
            let mut completions = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "paylab", &mut completions);
            print_text(&String::from_utf8(completions)?)?;
            Ok(Exit::AsExpected)
        }
    }
}
