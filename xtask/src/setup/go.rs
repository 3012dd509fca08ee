//! A Go toolchain, and the programs which it builds into the cache folder: a Kubernetes, conformance suites, clients.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context as _, Result, bail};
use cluster::{Kept, Module, Program, Programs};

use crate::{process, workspace};

/// A `go` that builds with exactly [`VERSION`].
#[derive(Debug)]
struct Go {
    program: PathBuf,
}

/// Builds those of `wanted` that the cache lacks.
///
/// Two checkouts that build at the same time wait for one another instead of doing the work twice.
pub(super) fn ensure(wanted: &[Program]) -> Result<()> {
    let programs = Programs::cached()?;
    if programs.absent(wanted)?.is_empty() {
        return Ok(());
    }
    let go = Go::find()?;
    for module in Module::ALL {
        let folder = programs.folder(module)?;
        let of_module: Vec<_> = module.programs().filter(|program| wanted.contains(program)).collect();
        if programs.absent(&of_module)?.is_empty() {
            continue;
        }
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let lock = fs::File::create(folder.join(".lock")).context("cannot make the lock of a build")?;
        lock.lock().context("cannot wait for another build")?;
        // Before the programs: a module whose programs are there is whole.
        if let Some((kept, path)) = module.kept().zip(programs.kept(module)?) {
            go.keep(module, kept, &path)?;
        }
        for program in programs.absent(&of_module)? {
            go.build(program, &programs.path(program)?)?;
        }
    }
    Ok(())
}

/// Whether some `go` is there that knows how to become another version; older ones do not.
pub(super) fn is_there() -> bool {
    in_path().is_some() || cached().is_ok_and(|program| program.is_file())
}

// === impl Go ===

impl Go {
    /// Takes the one in PATH, which obtains the pinned version where it is another; else obtains that version ourselves.
    fn find() -> Result<Self> {
        if let Some(program) = in_path() {
            return Ok(Self { program });
        }
        let program = cached()?;
        if !program.is_file() {
            fetch()?;
        }
        Ok(Self { program })
    }

    fn build(&self, program: Program, path: &Path) -> Result<()> {
        let (module, name) = (program.module(), program.name());
        print!("setup: building {name} {}{} ...", module.version()?, patience(program));
        // The line is to be seen while the work goes on.
        let _ = io::stdout().flush();
        let start = Instant::now();
        // A build that is cut short leaves nothing that looks whole.
        let unfinished = path.with_file_name(format!(".{name}"));
        let mut build = Command::new(&self.program);
        build
            .current_dir(module.folder())
            .args(subcommand(program))
            .args(["-mod=readonly", "-trimpath", "-buildvcs=false"])
            .arg(format!("-ldflags={}", module.linker_flags()?))
            .arg("-o")
            .arg(&unfinished)
            .arg(program.package())
            .env("CGO_ENABLED", "0");
        let built = process::output(pinned(&mut build));
        println!(" {:.0} s", start.elapsed().as_secs_f64());
        built?;
        fs::rename(&unfinished, path).with_context(|| format!("cannot put {name} into the cache"))
    }

    /// Copies a folder out of a dependency's sources.
    fn keep(&self, module: Module, kept: Kept, path: &Path) -> Result<()> {
        // Where only `go.mod` is there, the sources are fetched by this.
        let mut download = Command::new(&self.program);
        download.current_dir(module.folder()).args(["mod", "download", kept.of]);
        process::output(pinned(&mut download))?;
        let mut list = Command::new(&self.program);
        list.current_dir(module.folder())
            .args(["list", "-mod=readonly", "-m", "-f", "{{.Dir}}", kept.of]);
        let sources = process::output(pinned(&mut list))?;
        let sources = Path::new(sources.trim_end()).join(kept.folder);
        fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))?;
        for entry in fs::read_dir(&sources).with_context(|| format!("cannot read {}", sources.display()))? {
            let file = entry?;
            fs::copy(file.path(), path.join(file.file_name()))
                .with_context(|| format!("cannot copy {}", file.path().display()))?;
        }
        Ok(())
    }
}

/// Lets the command run with exactly the pinned compiler, and no workspace of the user's.
fn pinned(command: &mut Command) -> &mut Command {
    command.env("GOTOOLCHAIN", format!("go{VERSION}")).env("GOWORK", "off")
}

fn subcommand(program: Program) -> &'static [&'static str] {
    match program {
        Program::Conformance => &["test", "-c"],
        Program::Etcd
        | Program::Apiserver
        | Program::Kubectl
        | Program::ControllerManager
        | Program::Scheduler
        | Program::Kubelet
        | Program::KubeProxy
        | Program::Containerd
        | Program::Shim
        | Program::Ctr
        | Program::Coredns
        | Program::EchoServer
        | Program::EchoClient
        | Program::H2spec
        | Program::Grpcurl => &["build"],
    }
}

/// A `go` of PATH that obtains other versions of itself.
fn in_path() -> Option<PathBuf> {
    let program = process::find("go")?;
    let printed = process::output(Command::new(&program).arg("version").env("GOTOOLCHAIN", "local")).ok()?;
    let minor = printed.split("go1.").nth(1)?;
    let minor: String = minor.chars().take_while(char::is_ascii_digit).collect();
    (minor.parse::<u32>().ok()? >= FIRST_THAT_CHANGES).then_some(program)
}

fn cached() -> Result<PathBuf> {
    Ok(workspace::cache(&format!("go-{VERSION}"))?.join(inner()).join("bin/go"))
}

/// Fetches the toolchain from where `go` itself would: the module proxy.
fn fetch() -> Result<()> {
    let folder = workspace::cache(&format!("go-{VERSION}"))?;
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    println!("setup: fetching Go {VERSION} from the module proxy (70 MB)");
    let archive = folder.join("toolchain.zip");
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--fail", "--location", "--output"])
        .arg(&archive)
        .arg(format!(
            "https://proxy.golang.org/golang.org/toolchain/@v/{MODULE_VERSION}.zip"
        ));
    process::run(&mut curl)?;
    let printed = process::output(Command::new("sha256sum").arg(&archive))?;
    if !printed.starts_with(ARCHIVE_SHA256) {
        bail!("{} is not what was pinned: {printed}", archive.display());
    }
    process::run(Command::new("unzip").arg("-qo").arg(&archive).arg("-d").arg(&folder))?;
    // A module's archive keeps no modes.
    let root = folder.join(inner());
    for tools in ["bin", "pkg/tool/linux_amd64"] {
        for entry in fs::read_dir(root.join(tools)).context("the toolchain holds other folders")? {
            fs::set_permissions(entry?.path(), fs::Permissions::from_mode(0o755))?;
        }
    }
    fs::remove_file(&archive)?;
    Ok(())
}

fn inner() -> String {
    format!("golang.org/toolchain@{MODULE_VERSION}")
}

/// What the long builds take on two cores with nothing cached.
fn patience(program: Program) -> &'static str {
    match program {
        Program::Apiserver => " (4 minutes on two cores)",
        Program::Etcd | Program::Kubelet | Program::Containerd | Program::Grpcurl => " (a minute)",
        Program::Coredns | Program::Conformance => " (2 minutes)",
        Program::EchoServer => " (3 minutes)",
        Program::Kubectl
        | Program::ControllerManager
        | Program::Scheduler
        | Program::KubeProxy
        | Program::Shim
        | Program::Ctr
        | Program::EchoClient
        | Program::H2spec => "",
    }
}

/// The compiler of all programs, a patch release at least as new as each module wants.
const VERSION: &str = "1.26.8";
const MODULE_VERSION: &str = "v0.0.1-go1.26.8.linux-amd64";
const ARCHIVE_SHA256: &str = "30c2b1bf7dcc88d3eb0a1364e47ddd9128edb3110a30e8a0ef61cd5856b31de7";

/// The first minor version of Go 1 which reads `GOTOOLCHAIN`.
const FIRST_THAT_CHANGES: u32 = 21;
