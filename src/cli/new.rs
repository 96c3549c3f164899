//! `portcullis new`: a policy and its tests to begin with.

mod kind;
mod template;

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::{Exit, note};
use crate::policy::validate::names;
use crate::suite::FILE_SUFFIX;
use kind::Kind;

/// Make a policy and its tests to begin with
///
/// Writes `NAME.cel` and `NAME.test.yaml`, an example that is whole: its tests pass and cover it, and
/// `lint` finds nothing. What is there is never overwritten.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portcullis new owned-workloads                              about Deployments, in `policies`
  portcullis new owned-pods --kind pods --dir my/
  portcullis new strict-mesh --kind nsm.nginx.com/v1alpha2/MeshConfig
  portcullis new filled-owners --mutate                       changes objects, too")]
pub struct Args {
    /// The name of the policy, which its files have too
    #[arg(value_name = "NAME")]
    name: String,

    /// What it is about: `group/version/resource`, `group/version/Kind`, or the name of a kind of
    /// Kubernetes' own
    #[arg(long, value_name = "RESOURCE", default_value = "apps/v1/deployments")]
    kind: String,

    /// Where the files are written; the folder is made if it is not there
    #[arg(long, value_name = "DIR", default_value = "policies")]
    dir: PathBuf,

    /// Begin with a policy that mends what it finds, too
    #[arg(long)]
    mutate: bool,
}

/// Whether a policy changes objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// It decides about them only.
    Validating,
    /// It changes them, too.
    Mutating,
}

/// Writes the files, and says what to do next.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    check_name(&args.name)?;
    let kind = Kind::read(&args.kind)
        .map_err(|problem| anyhow::anyhow!("`--kind {}`: {problem}", args.kind))?;
    let form = match args.mutate {
        true => Form::Mutating,
        false => Form::Validating,
    };
    let policy = args.dir.join(format!("{}.cel", args.name));
    let tests = args.dir.join(format!("{}{FILE_SUFFIX}", args.name));
    for path in [&policy, &tests] {
        // A link that leads nowhere is there, too.
        anyhow::ensure!(
            fs::symlink_metadata(path).is_err(),
            "`{}` is there already, and nothing is overwritten",
            path.display()
        );
    }
    fs::create_dir_all(&args.dir)
        .with_context(|| format!("cannot make the folder `{}`", args.dir.display()))?;
    write(&policy, &template::policy(&kind, form))?;
    write(&tests, &template::tests(&kind, form)).inspect_err(|_| {
        // A policy without its tests is not what was asked for.
        let _ = fs::remove_file(&policy);
    })?;
    super::print(&told(&policy, &tests));
    if let Some(line) = kind.guess() {
        note(&line);
    }
    Ok(Exit::Clean)
}

fn check_name(name: &str) -> anyhow::Result<()> {
    let problems = names::dns_subdomain(name);
    if problems.is_empty() {
        return Ok(());
    }
    let problems = problems.join("; ");
    let letters = name.chars().map(|it| match it.is_ascii_alphanumeric() {
        true => it.to_ascii_lowercase(),
        false => '-',
    });
    let letters: String = letters.collect();
    let words: Vec<&str> = letters.split('-').filter(|word| !word.is_empty()).collect();
    let meant = words.join("-");
    match names::dns_subdomain(&meant).is_empty() {
        true => anyhow::bail!(
            "`{name}` cannot be the name of a policy: it {problems}; did you mean `{meant}`?"
        ),
        false => anyhow::bail!("`{name}` cannot be the name of a policy: it {problems}"),
    }
}

/// Writes a file that is not there.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let made = File::create_new(path).and_then(|mut file| file.write_all(text.as_bytes()));
    made.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            anyhow::anyhow!(
                "`{}` is there already, and nothing is overwritten",
                path.display()
            )
        }
        _ => anyhow::anyhow!("cannot write `{}`: {error}", path.display()),
    })
}

fn told(policy: &Path, tests: &Path) -> String {
    let (policy, tests) = (policy.display(), tests.display());
    format!(
        "made {policy}\nmade {tests}\n\n\
         Say in {policy} what must hold, and in {tests} what that means. Then:\n\n  \
         portcullis test {policy} --coverage\n  \
         portcullis lint {policy}\n  \
         portcullis check MANIFESTS --policies {policy}\n  \
         portcullis serve --policies {policy}\n"
    )
}
