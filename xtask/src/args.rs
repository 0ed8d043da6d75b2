//! What may stand on the command line.

mod near;

use std::ffi::OsString;

/// One line for error messages.
pub(crate) const USAGE: &str = "usage: cargo xtask <setup | test | ci | bench | help> [arguments]";

/// The whole help text.
pub(crate) const HELP: &str = "\
The chores of this repository.

usage: cargo xtask <command> [arguments]

  setup                        finds what the tests need, and installs what is missing where it has the rights
  test [arguments]             setup, then `cargo test --workspace`; arguments go to cargo
  ci [--deep] [--keep-going]   every check that a change must pass, with a summary at the end
       --deep                  adds the release build of the demo, the long simulation, deeper model checks,
                              faults that take long or namespaces, and the build of the benchmarks
       --keep-going            goes on after a failing step
  bench [arguments]            describes the machine, then `cargo bench`; arguments go to cargo
  help                         this text

examples:
  cargo xtask test -p backstop-core breaker
  cargo xtask bench --bench overhead -- --quick";

const COMMANDS: [&str; 5] = ["setup", "test", "ci", "bench", "help"];
const CI_FLAGS: [&str; 3] = ["--deep", "--keep-going", "--help"];

/// A parsed command line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Chore {
    Setup,
    Test(Vec<String>),
    Ci(CiOptions),
    Bench(Vec<String>),
    Help,
}

/// The flags of `ci`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct CiOptions {
    /// Also run the steps that take long.
    pub(crate) deep: bool,
    /// Go on after a failing step.
    pub(crate) keep_going: bool,
}

/// Reads the arguments after the program's name.
///
/// # Errors
///
/// A sentence that names the wrong word and, where one is near, the right one.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Chore, String> {
    let words = arguments.into_iter().map(text).collect::<Result<Vec<String>, String>>()?;
    let Some((command, rest)) = words.split_first() else {
        return Err("a command is needed".to_owned());
    };
    let command = match command.as_str() {
        "-h" | "--help" => "help",
        other => other,
    };
    if !COMMANDS.contains(&command) {
        return Err(unknown("command", command, &COMMANDS));
    }
    // What stands after `--` belongs to the test or the benchmark, not to us.
    if command == "help" || rest.iter().take_while(|word| *word != "--").any(|word| is_help(word)) {
        return Ok(Chore::Help);
    }
    match command {
        "setup" => match rest.first() {
            None => Ok(Chore::Setup),
            Some(word) => Err(format!("`setup` takes no arguments, but was given `{word}`")),
        },
        "test" => Ok(Chore::Test(rest.to_vec())),
        "ci" => ci_options(rest).map(Chore::Ci),
        _ => Ok(Chore::Bench(rest.to_vec())),
    }
}

fn ci_options(words: &[String]) -> Result<CiOptions, String> {
    let mut options = CiOptions::default();
    for word in words {
        match word.as_str() {
            "--deep" => options.deep = true,
            "--keep-going" => options.keep_going = true,
            other => return Err(unknown("flag of `ci`:", other, &CI_FLAGS)),
        }
    }
    Ok(options)
}

fn is_help(word: &str) -> bool {
    matches!(word, "-h" | "--help")
}

fn unknown(what: &str, word: &str, known: &[&str]) -> String {
    match near::nearest(word, known) {
        Some(name) => format!("unknown {what} `{word}`; did you mean `{name}`?"),
        None => format!("unknown {what} `{word}`; there are {}", known.join(", ")),
    }
}

fn text(argument: OsString) -> Result<String, String> {
    argument.into_string().map_err(|raw| format!("argument {raw:?} is not valid UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Chore, String> {
        parse(line.split_whitespace().map(OsString::from))
    }

    fn strings(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    #[test]
    fn each_command_is_read() {
        assert_eq!(parsed("setup"), Ok(Chore::Setup));
        assert_eq!(parsed("test"), Ok(Chore::Test(Vec::new())));
        assert_eq!(parsed("ci"), Ok(Chore::Ci(CiOptions::default())));
        assert_eq!(parsed("bench"), Ok(Chore::Bench(Vec::new())));
        assert_eq!(parsed("help"), Ok(Chore::Help));
    }

    #[test]
    fn ci_flags_come_in_any_order() {
        let both = CiOptions { deep: true, keep_going: true };
        assert_eq!(parsed("ci --deep --keep-going"), Ok(Chore::Ci(both)));
        assert_eq!(parsed("ci --keep-going --deep"), Ok(Chore::Ci(both)));
    }

    #[test]
    fn arguments_of_test_and_bench_are_passed_on_untouched() {
        let expected = strings(&["-p", "core", "--", "--nocapture"]);
        assert_eq!(parsed("test -p core -- --nocapture"), Ok(Chore::Test(expected)));
        assert_eq!(parsed("bench --bench x"), Ok(Chore::Bench(strings(&["--bench", "x"]))));
    }

    #[test]
    fn help_is_given_everywhere_except_after_the_double_dash() {
        for line in ["-h", "--help", "ci --help", "setup -h", "test --help", "bench -h"] {
            assert_eq!(parsed(line), Ok(Chore::Help), "{line}");
        }
        assert_eq!(parsed("test -- --help"), Ok(Chore::Test(strings(&["--", "--help"]))));
    }

    #[test]
    fn a_wrong_command_names_the_near_one() {
        assert_eq!(parsed("tset"), Err("unknown command `tset`; did you mean `test`?".to_owned()));
        assert_eq!(parsed("benches"), Err("unknown command `benches`; did you mean `bench`?".to_owned()));
    }

    #[test]
    fn a_command_that_is_near_nothing_lists_what_there_is() {
        let error = parsed("deploy-everything").unwrap_err();
        assert!(error.ends_with("there are setup, test, ci, bench, help"), "{error}");
    }

    #[test]
    fn a_wrong_flag_names_the_near_one() {
        let error = parsed("ci --keepgoing").unwrap_err();
        assert_eq!(error, "unknown flag of `ci`: `--keepgoing`; did you mean `--keep-going`?");
    }

    #[test]
    fn setup_refuses_arguments() {
        assert!(parsed("setup now").unwrap_err().contains("`now`"));
    }

    #[test]
    fn nothing_at_all_is_an_error() {
        assert_eq!(parsed(""), Err("a command is needed".to_owned()));
    }

    #[cfg(unix)]
    #[test]
    fn an_argument_that_is_not_text_is_refused() {
        use std::os::unix::ffi::OsStringExt as _;
        assert!(parse([OsString::from_vec(vec![0xff])]).unwrap_err().contains("UTF-8"));
    }
}
