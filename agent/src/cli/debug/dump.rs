//! `dump all`: everything at once, in a file that `-f` reads.

use std::{
    fs::File,
    io::{BufWriter, Write as _},
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use super::{
    Context, DebugError, Outcome, certificate, cgroup, connection, endpoint, link, map, pod, policy, program, route,
    service,
    snapshot::{Section, Snapshot, VERSION},
};
use crate::kernel::feature;

pub(super) fn all(context: &mut Context, out: Option<&Path>) -> Result<Outcome, DebugError> {
    let snapshot = match context.snapshot()? {
        Some(snapshot) => snapshot,
        None => take(context)?,
    };
    let Some(path) = out else {
        context.output.json(&snapshot)?;
        return Ok(Outcome::Done);
    };
    let failed = |source| DebugError::WriteFile {
        path: path.to_owned(),
        source,
    };
    let mut file = BufWriter::new(File::create(path).map_err(failed)?);
    serde_json::to_writer_pretty(&mut file, &snapshot).map_err(|error| failed(error.into()))?;
    file.write_all(b"\n").and_then(|()| file.flush()).map_err(failed)?;
    Ok(Outcome::Done)
}

/// Takes what can be taken; a section that cannot be read says why.
fn take(context: &Context) -> Result<Snapshot, DebugError> {
    let taken_at = SystemTime::now().duration_since(UNIX_EPOCH);
    let kernel = nix::sys::utsname::uname().map(|name| name.release().to_string_lossy().into_owned());
    Ok(Snapshot {
        version: VERSION,
        node: context.node()?,
        taken_at: taken_at.map_or(0, |time| time.as_secs()),
        kernel: kernel.unwrap_or_default(),
        programs: program::collect(context).into(),
        maps: map::collect(context).into(),
        links: link::collect(context).into(),
        cgroups: cgroup::collect(context).into(),
        features: Section::Rows(feature::probe()),
        entries: map::collect_entries(context).into(),
        pods: pod::collect(context).into(),
        connections: connection::collect(context).into(),
        services: service::collect(context).into(),
        endpoints: endpoint::collect(context).into(),
        certificates: certificate::collect(context).into(),
        policies: policy::collect(context).into(),
        routes: route::collect(context).into(),
        problems: context
            .agent()
            .and_then(|agent| Ok(agent.get("/mesh/problems")?))
            .into(),
    })
}
