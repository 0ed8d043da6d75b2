//! `cargo xtask setup`: finds what the tests need, and installs what is missing.

mod install;
mod servers;
mod tools;

use install::{Plan, Rights};
use tools::{TOOLS, Tool};

use crate::process;

/// Looks for every tool and installs the missing ones, if we have the rights.
///
/// # Errors
///
/// A tool is missing and cannot be installed from here; the message holds the commands to run.
pub(crate) fn run() -> Result<(), String> {
    let missing = look(TOOLS);
    if missing.is_empty() {
        return Ok(());
    }
    let Plan { commands, undo, by_hand } = install::plan(&missing, Rights::find());
    let installed = run_all(&commands);
    // What was prepared is taken back, also after a failure.
    let undone = run_all(&undo);
    installed.and(undone)?;
    let missing = if commands.is_empty() { missing } else { look(TOOLS) };
    if missing.is_empty() { Ok(()) } else { Err(complaint(&missing, &by_hand)) }
}

/// Runs the commands one after the other, up to the first that fails.
fn run_all(commands: &[Vec<String>]) -> Result<(), String> {
    for command in commands {
        if let Some((name, arguments)) = command.split_first() {
            process::run(process::program(name).args(arguments))?;
        }
    }
    Ok(())
}

/// Prints one line for each tool and returns those that were not found.
fn look(tools: &'static [Tool]) -> Vec<&'static Tool> {
    println!("what the tests need:");
    let mut missing = Vec::new();
    for tool in tools {
        match (tool.find)() {
            Some(found) => println!("  found    {:<12} {found}", tool.name),
            None => {
                println!("  missing  {:<12} {}", tool.name, tool.why);
                missing.push(tool);
            }
        }
    }
    missing
}

fn complaint(missing: &[&Tool], by_hand: &[String]) -> String {
    let names: Vec<_> = missing.iter().map(|tool| tool.name).collect();
    let mut text = format!("missing: {}", names.join(", "));
    if by_hand.is_empty() {
        text.push_str(
            "; the installation ended well, but this is still not found (does CC or PATH point elsewhere?)",
        );
    } else {
        text.push_str("\nrun this, then try again:");
    }
    for command in by_hand {
        text.push_str("\n  ");
        text.push_str(command);
    }
    text
}
