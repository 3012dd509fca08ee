//! A request of a case, and what is to come of it.

use harness::Answer;

/// Who asks: the suite asks from inside one of its own applications.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Client {
    /// `echo-v1` of the namespace of the services.
    Producer,
    /// `echo-v1` of the other namespace.
    Consumer,
}

/// A request, and what is to come of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask {
    pub(super) client: Client,
    /// A service or, with its pod's own port, the pod behind it.
    pub(super) to: &'static str,
    pub(super) port: u16,
    /// `Host`, where it is not what is dialled.
    pub(super) host: Option<&'static str>,
    pub(super) path: &'static str,
    pub(super) headers: Headers,
    pub(super) status: u16,
    /// The pod that is to answer.
    pub(super) by: Option<&'static str>,
    pub(super) location: Option<&'static str>,
    /// What the pod is to be asked for, where it is not what the client asked for.
    pub(super) target: Option<&'static str>,
    /// What the pod is to be told, lines of one name joined by commas.
    pub(super) told: Headers,
    /// What it is not to be told.
    pub(super) untold: &'static [&'static str],
    /// A header of the response: with this value, or not there.
    pub(super) answer: Option<(&'static str, Option<&'static str>)>,
}

/// Headers by name.
pub(super) type Headers = &'static [(&'static str, &'static str)];

// === impl Ask ===

impl Ask {
    /// Whom this pod is to answer, of `echo`.
    pub(super) const fn by(pod: &'static str, path: &'static str) -> Self {
        Self {
            client: Client::Producer,
            to: "echo",
            port: 80,
            host: None,
            path,
            headers: &[],
            status: 200,
            by: Some(pod),
            location: None,
            target: None,
            told: &[],
            untold: &[],
            answer: None,
        }
    }

    /// Who is to be answered by the mesh itself.
    pub(super) const fn refused(status: u16, path: &'static str) -> Self {
        Self {
            status,
            by: None,
            ..Self::by("", path)
        }
    }

    /// Who is to be sent elsewhere.
    pub(super) const fn led(status: u16, path: &'static str, location: &'static str) -> Self {
        Self {
            location: Some(location),
            ..Self::refused(status, path)
        }
    }

    pub(super) const fn to(self, to: &'static str) -> Self {
        Self { to, ..self }
    }

    pub(super) const fn at(self, port: u16) -> Self {
        Self { port, ..self }
    }

    pub(super) const fn host(self, host: &'static str) -> Self {
        Self {
            host: Some(host),
            ..self
        }
    }

    pub(super) const fn with(self, headers: Headers) -> Self {
        Self { headers, ..self }
    }

    pub(super) const fn of_consumer(self) -> Self {
        Self {
            client: Client::Consumer,
            ..self
        }
    }

    pub(super) const fn asked_for(self, target: &'static str) -> Self {
        Self {
            target: Some(target),
            ..self
        }
    }

    pub(super) const fn told(self, told: Headers) -> Self {
        Self { told, ..self }
    }

    pub(super) const fn untold(self, untold: &'static [&'static str]) -> Self {
        Self { untold, ..self }
    }

    /// The response has this header, or has it not.
    pub(super) const fn answer(self, value: Option<&'static str>) -> Self {
        Self {
            answer: Some(("X-Header-Set", value)),
            ..self
        }
    }

    /// Whether this is what was to come.
    pub(super) fn holds(&self, answer: &Answer) -> bool {
        let mut request = answer.body.lines();
        let target = request.next().and_then(|line| line.split(' ').nth(1));
        let told = |name: &str| {
            let fields = request.clone().filter_map(|line| line.split_once(": "));
            let values: Vec<&str> = fields
                .filter(|(it, _)| it.eq_ignore_ascii_case(name))
                .map(|(_, value)| value)
                .collect();
            (!values.is_empty()).then(|| values.join(",").replace(", ", ","))
        };
        let served = self.by.is_none_or(|pod| {
            answer.header("server") == Some(pod)
                && target == Some(self.target.unwrap_or(self.path))
                && self
                    .told
                    .iter()
                    .all(|(name, value)| told(name).as_deref() == Some(*value))
                && self.untold.iter().all(|name| told(name).is_none())
        });
        served
            && answer.status == self.status
            && answer.header("location") == self.location
            && self.answer.is_none_or(|(name, value)| answer.header(name) == value)
    }
}
