//! `cargo xtask bench`: the machine first, because a figure without its machine says little.

use std::thread::available_parallelism;

use crate::process;

/// Describes the machine, then runs `cargo bench` with the caller's arguments.
///
/// # Errors
///
/// A benchmark did not build or failed.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let unknown = || "unknown".to_owned();
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cores = available_parallelism().map_or_else(|_| unknown(), |count| count.to_string());
    let kernel = process::first_line(process::program("uname").arg("-sr")).unwrap_or_else(unknown);
    let rustc = process::first_line(process::program("rustc").arg("--version")).unwrap_or_else(unknown);
    println!("cpu     {}", cpu_model(&cpuinfo).unwrap_or("unknown"));
    println!("cores   {cores}");
    println!("kernel  {kernel}");
    println!("rustc   {rustc}\n");
    process::run(process::cargo().arg("bench").args(arguments))
}

fn cpu_model(cpuinfo: &str) -> Option<&str> {
    let (_, model) = cpuinfo.lines().find(|line| line.starts_with("model name"))?.split_once(':')?;
    Some(model.trim())
}

#[cfg(test)]
mod tests {
    use super::cpu_model;

    #[test]
    fn the_model_is_read_from_the_first_processor() {
        assert_eq!(cpu_model("processor\t: 0\nmodel name\t: Fast One @ 3 GHz\n"), Some("Fast One @ 3 GHz"));
        assert_eq!(cpu_model("processor\t: 0\n"), None);
    }
}
