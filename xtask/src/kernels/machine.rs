//! An emulated machine: what it boots with, what it does, and what it reports.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{archive::Archive, image::Image};
use crate::{process, workspace};

/// What every kernel is booted with.
pub(super) struct Machine {
    archive: Archive,
    work: PathBuf,
}

/// What a machine said.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// The kernel's own name; none when it did not come so far.
    pub(super) release: Option<String>,
    /// What `weft debug feature` found missing; none when it found nothing out.
    pub(super) lacks: Option<Vec<String>>,
    /// The tests that passed.
    pub(super) passed: Vec<String>,
    /// All that it said.
    pub(super) console: String,
}

// === impl Machine ===

impl Machine {
    /// Puts together the agent, the tests and what they run, with the libraries of this machine.
    pub(super) fn assemble(weft: &Path, tests: &Path) -> Result<Self> {
        let work = workspace::target().join("kernels");
        fs::create_dir_all(&work)?;
        let mut archive = Archive::default();
        for folder in ["/dev", "/proc", "/root", "/run", "/sbin", "/sys", "/tmp", "/usr/bin"] {
            archive.folder(folder);
        }
        archive.copy("/bin/busybox", &program("busybox")?)?;
        archive.link("/bin/sh", "busybox");
        let stripped = |from: &Path, name: &str| {
            let to = work.join(name);
            process::run(Command::new("strip").arg("-o").arg(&to).arg(from)).map(|()| to)
        };
        let mut libraries = BTreeSet::new();
        for (name, from) in [
            ("weft", stripped(weft, "weft")?),
            ("netns", stripped(tests, "netns")?),
            ("ip", program("ip")?),
            ("bash", program("bash")?),
        ] {
            archive.copy(&format!("/bin/{name}"), &from)?;
            libraries.extend(libraries_of(&from)?);
        }
        for library in libraries {
            archive.copy(&library, Path::new(&library))?;
        }
        // The tests look for it where they were built.
        let balancer = workspace::bpf_object("balancer");
        archive.copy(&balancer.display().to_string(), &balancer)?;
        archive.folder(&workspace::root().join("tests").display().to_string());
        Ok(Self { archive, work })
    }

    /// Boots a kernel, runs these tests one by one, and waits for its end.
    pub(super) fn boot(&self, image: &Image, tests: &[&str]) -> Result<Report> {
        let mut archive = self.archive.clone();
        let mut modules = Vec::new();
        for (name, from) in image.modules() {
            archive.copy(&format!("/modules/{name}.ko"), &from)?;
            modules.push(name);
        }
        archive.file("/init", init(&modules, tests).as_bytes());
        let disk = self.work.join("memory.cpio");
        fs::write(&disk, archive.finish())?;

        let mut qemu = Command::new("timeout");
        qemu.args([
            LIMIT,
            "qemu-system-x86_64",
            "-accel",
            "tcg",
            "-cpu",
            "max",
            "-smp",
            "2",
            "-m",
            "768",
        ])
        .args(["-nodefaults", "-no-reboot", "-nographic", "-serial", "stdio"])
        .args(["-append", "console=ttyS0 quiet panic=-1 mitigations=off"])
        .arg("-kernel")
        .arg(image.kernel())
        .arg("-initrd")
        .arg(&disk)
        .stdin(Stdio::null());
        let output = qemu
            .output()
            .with_context(|| format!("cannot start: {}", process::line(&qemu)))?;
        let mut report = Report::read(&String::from_utf8_lossy(&output.stdout));
        report.console += &String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            report.console += &format!("{}\n", output.status);
        }
        Ok(report)
    }
}

// === impl Report ===

impl Report {
    fn read(console: &str) -> Self {
        let mut report = Self {
            console: console.to_owned(),
            ..Self::default()
        };
        for line in console.lines().map(str::trim_end) {
            // A test may leave its last line open.
            let Some((_, said)) = line.split_once(MARK) else {
                continue;
            };
            match said.split_once(' ') {
                Some(("release", release)) => report.release = Some(release.to_owned()),
                Some(("features", features)) => report.lacks = lacks(features),
                Some(("passed", test)) => report.passed.push(test.to_owned()),
                Some(_) | None => {}
            }
        }
        report
    }
}

fn lacks(features: &str) -> Option<Vec<String>> {
    let features: Vec<Value> = serde_json::from_str(features).ok()?;
    let lacking = features.iter().filter(|feature| feature["available"] == false);
    lacking
        .map(|feature| Some(feature["name"].as_str()?.to_owned()))
        .collect()
}

/// What the first process does.
fn init(modules: &[&str], tests: &[&str]) -> String {
    let modules = modules.join(" ");
    let folder = workspace::root().join("tests").display().to_string();
    let tests = tests.join(" ");
    format!(
        "#!/bin/busybox sh\n\
         /bin/busybox --install -s /usr/bin\n\
         export PATH=/bin:/usr/bin HOME=/root RUST_BACKTRACE=0 WEFT_BIN=/bin/weft\n\
         mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev\n\
         mount -t tmpfs tmp /tmp; mount -t tmpfs run /run\n\
         mount -t cgroup2 cgroup2 /sys/fs/cgroup; mount -t bpf bpf /sys/fs/bpf\n\
         for module in {modules}; do insmod /modules/$module.ko; done\n\
         ip link set lo up\n\
         echo \"{MARK}release $(uname -r)\"\n\
         echo \"{MARK}features $(weft debug -j feature)\"\n\
         cd {folder}\n\
         for test in {tests}; do\n\
         if netns --test-threads 1 --exact $test; then echo \"{MARK}passed $test\"; fi\n\
         done\n\
         poweroff -f\n"
    )
}

/// The libraries of a program, and what loads them.
fn libraries_of(program: &Path) -> Result<Vec<String>> {
    let listed = process::output(Command::new("ldd").arg(program))?;
    Ok(listed
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
        .map(str::to_owned)
        .collect())
}

fn program(name: &str) -> Result<PathBuf> {
    process::find(name).with_context(|| format!("{name} is not installed"))
}

/// What begins the lines that are for us.
const MARK: &str = "weft-kernels: ";

/// Seconds after which a machine that hangs is ended.
const LIMIT: &str = "300";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_out_of_the_consoles_noise() {
        let report = Report::read(
            "SeaBIOS\r\nweft-kernels: release 6.1.0\r\n\
             weft-kernels: features [{\"name\":\"a\",\"available\":true},{\"name\":\"b\",\"available\":false}]\r\n\
             test one ... okweft-kernels: passed one\r\n[ 3.0] reboot: Power down\r\n",
        );
        assert_eq!(report.release.as_deref(), Some("6.1.0"));
        assert_eq!(report.lacks, Some(vec!["b".to_owned()]));
        assert_eq!(report.passed, ["one"]);
    }

    #[test]
    fn a_machine_that_dies_early_reports_nothing() {
        let report = Report::read("[ 0.1] Kernel panic - not syncing\r\n");
        assert_eq!((report.release, report.lacks, report.passed.len()), (None, None, 0));
    }
}
