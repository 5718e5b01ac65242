//! Which server is asked, and which token it is shown. A server or a profile is said, each by its flag before its variable, never both; a
//! profile's own token comes before the variable's.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;
use serde::Deserialize;

use crate::operations::{Exit, Failure};

use super::client::Server;

/// A server instead of Postgres and Kafka.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Server")]
pub(in super::super) struct ServerArguments {
    /// Ask this server over HTTP instead of Postgres and Kafka: https, or http on this machine, such as http://127.0.0.1:8080.
    /// It is shown the token in SAGABUS_TOKEN, and does things in the name of that token.
    #[arg(long, env = "SAGABUS_SERVER", global = true, value_name = "URL")]
    server: Option<String>,
    /// Ask the server of this profile, such as production, with its token. Profiles are in $XDG_CONFIG_HOME/sagabus/config.yaml,
    /// by default ~/.config/sagabus/config.yaml.
    #[arg(long, visible_alias = "context", env = "SAGABUS_PROFILE", global = true, value_name = "NAME")]
    profile: Option<String>,
}

/// The file of profiles.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Config {
    profiles: BTreeMap<String, Profile>,
}

/// A server, and where its token comes from. The token itself has no place in the file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Profile {
    server: String,
    /// A file that holds the token alone.
    token_file: Option<PathBuf>,
    /// A command that prints the token: its words, without a shell.
    token_command: Option<Vec<String>>,
}

fn usage(message: impl Into<String>, hint: &str) -> Failure {
    Failure::new(Exit::Usage, message, hint)
}

impl ServerArguments {
    /// The server, if one is said.
    ///
    /// # Errors
    /// Two are said, there is no such profile, or its token cannot be had (exit 2).
    pub(super) fn server(&self) -> Result<Option<Server>, Failure> {
        // An empty variable is one that was taken back.
        let said = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        match (said(&self.server), said(&self.profile)) {
            (None, None) => Ok(None),
            (Some(url), None) => Server::new(&url, token_of_environment().as_deref()).map(Some),
            (None, Some(name)) => {
                let profile = named(&config_file()?, &name)?;
                let token = match profile.token()? {
                    Some(token) => Some(token),
                    None => token_of_environment(),
                };
                Server::new(&profile.server, token.as_deref()).map(Some)
            }
            (Some(_), Some(_)) => {
                let hint = "say one of them; SAGABUS_SERVER and SAGABUS_PROFILE count too";
                Err(usage("both a server and a profile are said", hint))
            }
        }
    }
}

/// Never a flag: every process of the machine may read those.
fn token_of_environment() -> Option<String> {
    let token = std::env::var_os("SAGABUS_TOKEN")?.to_str()?.trim().to_owned();
    Some(token).filter(|token| !token.is_empty())
}

fn config_file() -> Result<PathBuf, Failure> {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let config = folder("XDG_CONFIG_HOME").or_else(|| Some(folder("HOME")?.join(".config")));
    let config = config.ok_or_else(|| usage("nobody knows where profiles are", "set XDG_CONFIG_HOME or HOME"))?;
    Ok(config.join("sagabus").join("config.yaml"))
}

fn named(file: &Path, name: &str) -> Result<Profile, Failure> {
    let place = file.display();
    let hint = "profiles: {NAME: {server: https://HOST, tokenFile: FILE}}";
    let text = std::fs::read_to_string(file).map_err(|error| usage(format!("profiles in {place}: {error}"), hint))?;
    // Without the lines around an error: somebody may have written a token there.
    let options = serde_saphyr::options! { with_snippet: false };
    let config: Config = serde_saphyr::from_str_with_options(&text, options)
        .map_err(|error| usage(format!("profiles in {place}: {error}"), hint))?;
    let known = config.profiles.keys().cloned().collect::<Vec<_>>().join(", ");
    let profile = config.profiles.get(name).cloned();
    profile.ok_or_else(|| usage(format!("there is no profile {name} in {place}"), &format!("there are: {known}")))
}

impl Profile {
    /// The token that the profile names.
    fn token(&self) -> Result<Option<String>, Failure> {
        let token = match (&self.token_file, &self.token_command) {
            (None, None) => return Ok(None),
            (Some(file), None) => {
                let read = std::fs::read_to_string(file);
                read.map_err(|error| usage(format!("tokenFile {}: {error}", file.display()), ""))?
            }
            (None, Some(words)) => printed(words)?,
            (Some(_), Some(_)) => return Err(usage("a profile has a tokenFile or a tokenCommand", "take one away")),
        };
        match token.trim() {
            "" => Err(usage("the token of the profile is empty", "")),
            token => Ok(Some(token.to_owned())),
        }
    }
}

/// What a command prints. It may ask the person on the terminal.
fn printed(words: &[String]) -> Result<String, Failure> {
    let Some((program, arguments)) = words.split_first() else {
        return Err(usage("tokenCommand is empty", "its words: [pass, show, sagabus]"));
    };
    let failed = |why: String| usage(format!("tokenCommand {program}: {why}"), "it prints the token, and ends well");
    let ran = Command::new(program).args(arguments).stderr(Stdio::inherit()).stdin(Stdio::inherit()).output();
    let ran = ran.map_err(|error| failed(error.to_string()))?;
    if !ran.status.success() {
        return Err(failed(ran.status.to_string()));
    }
    String::from_utf8(ran.stdout).map_err(|_| failed("what it prints is no text".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_a_file(test: &str, text: &str) -> PathBuf {
        let file = std::env::temp_dir().join(format!("sagabus-profiles-{test}-{}", std::process::id()));
        std::fs::write(&file, text).unwrap();
        file
    }

    #[test]
    fn a_profile_is_a_server_and_where_its_token_comes_from() {
        let secret = in_a_file("secret", "sagabus_1\n");
        let file = in_a_file(
            "good",
            &format!(
                "profiles:\n  a: {{server: \"https://a.example\", tokenFile: {}}}\n  b: {{server: \"https://b.example\", \
                 tokenCommand: [echo, sagabus_2]}}\n  c: {{server: \"https://c.example\"}}\n",
                secret.display()
            ),
        );
        let token = |name| named(&file, name).unwrap().token().unwrap();
        assert_eq!(["a", "b", "c"].map(token), [Some("sagabus_1".to_owned()), Some("sagabus_2".to_owned()), None]);
        let unknown = named(&file, "d").unwrap_err();
        assert!(unknown.exit == Exit::Usage && unknown.hint.contains("a, b, c"), "{unknown}");
    }

    #[test]
    fn what_is_wrong_with_a_profile_is_told_and_never_the_token() {
        let told = |test: &str, text: &str| {
            let profile = named(&in_a_file(test, text), "a")?;
            profile.token()
        };
        for (test, profile, why) in [
            ("both", "{server: x, tokenFile: /x, tokenCommand: [y]}", "a tokenFile or a tokenCommand"),
            ("gone", "{server: x, tokenFile: /nowhere/x}", "tokenFile /nowhere/x"),
            ("fails", "{server: x, tokenCommand: [\"false\"]}", "exit status: 1"),
            ("empty", "{server: x, tokenCommand: [\"true\"]}", "is empty"),
            ("none", "{server: x, tokenCommand: []}", "tokenCommand is empty"),
            ("inline", "{server: x, token: sagabus_1}", "unknown field"),
        ] {
            let failure = told(test, &format!("profiles: {{a: {profile}}}")).unwrap_err();
            assert!(failure.exit == Exit::Usage && failure.to_string().contains(why), "{test}: {failure}");
            assert!(!failure.to_string().contains("sagabus_1"), "{failure}");
        }
    }
}
