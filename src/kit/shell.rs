//! The two commands of the person who runs the kit: one restarts the participant, one prints the effects of a saga's step.

use std::process::{Child, Command, ExitStatus, Stdio};

use crate::operations::{Exit, Failure};

/// Starts the restart command. Its output is thrown away: what it leaves running must not hold ours open.
///
/// # Errors
/// There is no shell.
pub(super) fn restart(command: &str) -> Result<Child, Failure> {
    let shell = shell(command).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    shell.map_err(|error| unusable("--restart-command", &error.to_string()))
}

/// What a restart command's end says.
///
/// # Errors
/// It failed.
pub(super) fn restarted(status: ExitStatus) -> Result<(), Failure> {
    if status.success() { Ok(()) } else { Err(unusable("--restart-command", &status.to_string())) }
}

/// Runs a ledger command. Returns the number that it prints.
///
/// # Errors
/// It fails, or prints no whole number.
pub(super) fn count(command: &str) -> Result<i64, Failure> {
    let output = shell(command).output().map_err(|error| unusable("--ledger-command", &error.to_string()))?;
    let (said, complaint) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    match said.trim().parse() {
        Ok(count) if output.status.success() => Ok(count),
        Ok(_) => Err(unusable("--ledger-command", &format!("{}: {}", output.status, complaint.trim()))),
        Err(_) => {
            Err(unusable("--ledger-command", &format!("printed {:?} and no number: {}", said.trim(), complaint.trim())))
        }
    }
}

fn shell(command: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).stdin(Stdio::null());
    shell
}

fn unusable(flag: &str, message: &str) -> Failure {
    Failure::new(
        Exit::Usage,
        format!("{flag}: {message}"),
        "run it by hand in a shell; it must end by itself with exit code 0",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_command_prints_a_number_or_is_refused() {
        assert_eq!(count("echo ' -1 '").unwrap(), -1);
        for command in ["echo one", "echo 1; exit 3", "no-such-program-here"] {
            assert_eq!(count(command).unwrap_err().exit, Exit::Usage, "{command}");
        }
    }
}
