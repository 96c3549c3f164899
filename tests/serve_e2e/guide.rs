//! The README's way from an idea to an enforced policy: every command runs, and says what is quoted.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::repository;
use crate::support::eventually;
use crate::support::process::{Launch, Process};

const SECTION: &str = "## From an idea to an enforced policy in five minutes\n";
/// Stands for what is not quoted.
const OMITTED: char = '…';

/// A step of the section.
#[derive(Debug, PartialEq)]
enum Step {
    /// A file is written.
    Write { name: String, text: String },
    /// A command runs, and says these lines.
    Run { command: String, says: Vec<String> },
}

/// Returns the steps, in order: blocks of `console`, and others with a file that the line in front of
/// them names.
fn steps(readme: &str) -> Vec<Step> {
    let (_, section) = readme.split_once(SECTION).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let mut steps = Vec::new();
    let mut before = "";
    let mut lines = section.lines();
    while let Some(line) = lines.next() {
        let Some(language) = line.strip_prefix("```") else {
            before = if line.is_empty() { before } else { line };
            continue;
        };
        let block: Vec<&str> = lines.by_ref().take_while(|it| *it != "```").collect();
        if language == "console" {
            steps.extend(commands(&block));
        } else {
            let name = before.split('`').rev().nth(1).unwrap().to_owned();
            let text = block.join("\n") + "\n";
            steps.push(Step::Write { name, text });
        }
    }
    steps
}

fn commands(block: &[&str]) -> Vec<Step> {
    let mut steps = Vec::new();
    for line in block {
        match (line.strip_prefix("$ "), steps.last_mut()) {
            (Some(command), _) => steps.push(Step::Run {
                command: command.to_owned(),
                says: Vec::new(),
            }),
            (None, Some(Step::Run { says, .. })) => says.push((*line).to_owned()),
            (None, _) => panic!("what is printed before a command? {line}"),
        }
    }
    steps
}

/// Says whether a line is the quoted one, but for what is omitted.
fn is_quoted(line: &str, quoted: &str) -> bool {
    let parts: Vec<&str> = quoted.split(OMITTED).collect();
    let (Some(first), Some(last)) = (parts.first(), parts.last()) else {
        return false;
    };
    let mut rest = line;
    parts.iter().all(|part| match rest.split_once(part) {
        Some((_, after)) => {
            rest = after;
            true
        }
        None => false,
    }) && line.starts_with(first)
        && line.ends_with(last)
        && (parts.len() > 1 || line == quoted)
}

/// Returns the first of the quoted lines that is not there behind those before it.
fn missing<'q>(output: &str, quoted: &'q [String]) -> Option<&'q str> {
    let mut lines = output.lines();
    let is_there = |it: &&String| lines.any(|line| is_quoted(line, it));
    let found = quoted.iter().take_while(is_there).count();
    quoted.get(found).map(String::as_str)
}

/// Runs a command in the folder, and returns what a terminal would show.
async fn run(command: &str, folder: &Path) -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_portcullis"));
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", program.parent().unwrap().display());
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &format!("{{ {command}\n}} 2>&1")])
        .current_dir(folder)
        .env("PATH", path);
    let output = tokio::task::spawn_blocking(move || shell.output());
    String::from_utf8(output.await.unwrap().unwrap().stdout).unwrap()
}

/// Starts the server that a command line starts in the background.
async fn serve(command: &str, folder: TempDir) -> Process {
    let arguments = command.strip_suffix('&').unwrap().split_whitespace();
    Launch::in_folder(folder)
        .args(arguments.skip(2))
        .start()
        .await
}

/// Returns where the server says that it is.
fn address(server: &Process) -> &str {
    let url = server.welcome.split_whitespace();
    let url = url.filter_map(|word| word.strip_suffix("/validate"));
    url.into_iter().next().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_the_guide_says_what_the_guide_quotes() {
    let readme = fs::read_to_string(repository("README.md")).unwrap();
    let steps = steps(&readme);
    assert!(steps.len() > 8, "{steps:#?}");
    let has_curl = Command::new("curl").arg("--version").output().is_ok();
    let mut folder = Some(TempDir::new().unwrap());
    let mut server: Option<Process> = None;
    for step in &steps {
        let place = match (&folder, &server) {
            (Some(folder), _) => folder.path().to_owned(),
            (None, Some(server)) => server.folder().to_owned(),
            (None, None) => panic!("the folder is lost"),
        };
        match step {
            Step::Write { name, text } => fs::write(place.join(name), text).unwrap(),
            Step::Run { command, says } if command.ends_with('&') => {
                let started = serve(command, folder.take().unwrap()).await;
                assert_eq!(missing(&started.welcome, says), None, "{}", started.welcome);
                server = Some(started);
            }
            Step::Run { command, .. } if command.starts_with("curl ") && !has_curl => {
                eprintln!("there is no curl: not run: {command}");
            }
            Step::Run { command, says } => {
                let mut command = command.clone();
                if let Some(server) = &server {
                    command = command.replace("https://127.0.0.1:8443", address(server));
                }
                // What was saved is in force a little later.
                eventually(&format!("{command} says {says:#?}"), || async {
                    let output = run(&command, &place).await;
                    match missing(&output, says) {
                        None => Some(()),
                        Some(_) if server.is_some() => None,
                        Some(line) => panic!("{command}: no line `{line}` in\n{output}"),
                    }
                })
                .await;
            }
        }
    }
    server.unwrap().stop().await;
}

#[test]
fn quoted_lines_are_found_in_their_order_and_whole() {
    let output = "one\ntwo in 0.1 s\nthree\n";
    let quoted = |lines: &[&str]| -> Vec<String> { lines.iter().map(|it| (*it).into()).collect() };
    for (lines, expected) in [
        (&["one", "three"][..], None),
        (&["one", "two in … s"], None),
        (&["…wo…"], None),
        (&["three", "one"], Some("one")),
        (&["on"], Some("on")),
        (&["…wo"], Some("…wo")),
        (&["wo…"], Some("wo…")),
        (&["two…three"], Some("two…three")),
    ] {
        assert_eq!(missing(output, &quoted(lines)), expected, "{lines:?}");
    }
}
