//! Toxiproxy's spelling of options, `-host` for `--host`, so that its command lines work after `paylab reset-proxy`, and instead of it: the
//! image's entry point is this program, and what uses Toxiproxy's image gives it only options.

use std::ffi::OsString;

const COMMAND: &str = "reset-proxy";
const OPTIONS: [&str; 6] = ["host", "port", "config", "seed", "runtime-metrics", "proxy-metrics"];

/// The arguments of this process with Toxiproxy's options of the reset proxy spelled with two dashes. Where the first argument is one of
/// them, the command is added.
pub(crate) fn two_dashes(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<_> = arguments.collect();
    if arguments.get(1).is_some_and(is_toxiproxys) {
        arguments.insert(1, OsString::from(COMMAND));
    }
    if arguments.get(1).is_some_and(|command| command == COMMAND) {
        for argument in arguments.iter_mut().skip(2).filter(|argument| is_toxiproxys(argument)) {
            let mut respelled = OsString::from("-");
            respelled.push(&*argument);
            *argument = respelled;
        }
    }
    arguments
}

fn is_toxiproxys(argument: &OsString) -> bool {
    let option = argument.to_str().and_then(|argument| argument.strip_prefix('-'));
    option.is_some_and(|option| {
        let name = option.split_once('=').map_or(option, |(name, _)| name);
        OPTIONS.contains(&name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn respelled(line: &str) -> String {
        let arguments = two_dashes(line.split(' ').map(OsString::from));
        arguments.iter().map(|argument| argument.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn options_of_toxiproxy_may_have_one_dash() {
        let line = "paylab reset-proxy -host 0.0.0.0 -port=9474 -seed -7 --config x.json -proxy-metrics";
        let expected = "paylab reset-proxy --host 0.0.0.0 --port=9474 --seed -7 --config x.json --proxy-metrics";
        assert_eq!(respelled(line), expected);
    }

    #[test]
    fn the_command_line_of_toxiproxys_image_needs_no_command() {
        let line = "paylab -host=0.0.0.0 -config=/tmp/x.json";
        assert_eq!(respelled(line), "paylab reset-proxy --host=0.0.0.0 --config=/tmp/x.json");
    }

    #[test]
    fn other_options_and_other_commands_are_left_alone() {
        let lines = [
            "paylab reset-proxy -h",
            "paylab reset-proxy -hostile x",
            "paylab run - -seed",
            "paylab",
            "paylab -h",
            "paylab --host x",
        ];
        for line in lines {
            assert_eq!(respelled(line), line);
        }
    }
}
