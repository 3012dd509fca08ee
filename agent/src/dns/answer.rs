//! Answers about services, from the mesh alone.

use std::{collections::BTreeMap, net::IpAddr};

use hickory_proto::{
    op::{Edns, Message, Metadata},
    rr::{
        Name, RData, Record, RecordType,
        rdata::{CNAME, SRV},
    },
};

use super::asked::{Asked, Part};
use crate::model::{Endpoint, Mesh, Service, ServicePort};

#[cfg(test)]
mod tests;

/// An answer to a question about a service.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    /// What is known here.
    pub(super) message: Message,
    /// The name at which the service's alias ends, when nobody here knows its addresses.
    pub(super) elsewhere: Option<Name>,
}

/// What records are asked for.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    name: &'a Name,
    kind: RecordType,
}

// === impl Answer ===

impl Answer {
    /// Answers a request whose one question is `asked`; none where the service has no such part.
    pub(super) fn new(mesh: &Mesh, asked: &Asked, request: &Message) -> Option<Self> {
        let question = request.queries.first()?;
        let mut answer = Self {
            message: response_to(request),
            elsewhere: None,
        };
        let wanted = Wanted {
            name: &question.name,
            kind: question.query_type,
        };
        answer.add(mesh, asked, wanted, ALIASES)?;
        // Clients take the first: let them not all take the same.
        let records = &mut answer.message.answers;
        if !records.is_empty() && answer.elsewhere.is_none() && asked.service.external_name.is_none() {
            let first = usize::from(request.metadata.id) % records.len();
            records.rotate_left(first);
        }
        Some(answer)
    }

    /// Encodes it within the size that the client accepts; what has no room is left out, and said to be.
    pub(super) fn encode(mut self) -> Option<Vec<u8>> {
        let limit = usize::from(self.message.max_payload());
        if let Some(edns) = &mut self.message.edns {
            edns.set_max_payload(LARGEST_REQUEST);
        }
        loop {
            let bytes = self.message.to_vec().ok()?;
            if bytes.len() <= limit {
                return Some(bytes);
            }
            // Additional records are a courtesy: without them nothing is truncated.
            if self.message.additionals.is_empty() {
                self.message.metadata.truncation = true;
                self.message.answers.pop()?;
            } else {
                self.message.additionals.clear();
            }
        }
    }

    fn add(&mut self, mesh: &Mesh, asked: &Asked, wanted: Wanted<'_>, aliases: usize) -> Option<()> {
        let Asked { service, part } = asked;
        match part {
            Part::Whole => match &service.external_name {
                Some(target) => self.add_alias(mesh, target, wanted, aliases)?,
                None => add_addresses(&mut self.message.answers, wanted, addresses(service)),
            },
            Part::Endpoint(id) => {
                let ips: Vec<IpAddr> = endpoints(service)
                    .filter(|endpoint| is_called(endpoint, id))
                    .map(ip)
                    .collect();
                if ips.is_empty() {
                    return None;
                }
                add_addresses(&mut self.message.answers, wanted, ips);
            }
            Part::Port { name: port, transport } => {
                let port = service
                    .ports
                    .iter()
                    .find(|candidate| candidate.name.eq_ignore_ascii_case(port) && candidate.transport == *transport)?;
                if wanted.kind == RecordType::SRV {
                    self.add_port(service, port, wanted.name);
                }
            }
        }
        Some(())
    }

    /// Adds the alias, and what it leads to where that is a service as well.
    fn add_alias(&mut self, mesh: &Mesh, target: &str, wanted: Wanted<'_>, aliases: usize) -> Option<()> {
        let mut target = Name::from_utf8(target).ok()?;
        target.set_fqdn(true);
        self.message
            .answers
            .push(record(wanted.name, RData::CNAME(CNAME(target.clone()))));
        if wanted.kind == RecordType::CNAME {
            return Some(());
        }
        match Asked::parse(mesh, &target) {
            Some(asked) => {
                let wanted = Wanted {
                    name: &target,
                    kind: wanted.kind,
                };
                self.add(mesh, &asked, wanted, aliases.checked_sub(1)?)
            }
            None => {
                self.elsewhere = Some(target);
                Some(())
            }
        }
    }

    /// Adds where a port is: the service's own name, or each endpoint's where the service has no address.
    fn add_port(&mut self, service: &Service, port: &ServicePort, name: &Name) {
        let base = name.trim_to(usize::from(name.num_labels()).saturating_sub(2));
        let targets: BTreeMap<(Name, u16), Vec<IpAddr>> = if service.headless {
            let mut targets = BTreeMap::<_, Vec<_>>::new();
            for endpoint in port.endpoints.iter().filter(|endpoint| is_published(service, endpoint)) {
                let Ok(target) = base.prepend_label(id_of(endpoint)) else {
                    continue;
                };
                targets
                    .entry((target, endpoint.address.port()))
                    .or_default()
                    .push(endpoint.address.ip());
            }
            targets
        } else {
            BTreeMap::from([((base, port.port), service.cluster_ips.clone())])
        };
        for ((target, port), ips) in targets {
            let place = SRV::new(PRIORITY, WEIGHT, port, target.clone());
            self.message.answers.push(record(name, RData::SRV(place)));
            self.message
                .additionals
                .extend(ips.into_iter().map(|ip| record(&target, ip.into())));
        }
    }
}

fn response_to(request: &Message) -> Message {
    let mut response = Message::response(request.metadata.id, request.metadata.op_code);
    response.metadata = Metadata::response_from_request(&request.metadata);
    response.metadata.authoritative = true;
    response.metadata.recursion_available = true;
    response.queries = request.queries.clone();
    // The client's own size, until the answer is encoded.
    response.edns = request.edns.as_ref().map(|edns| {
        let mut ours = Edns::new();
        ours.set_max_payload(edns.max_payload());
        ours
    });
    response
}

fn add_addresses(records: &mut Vec<Record>, wanted: Wanted<'_>, ips: Vec<IpAddr>) {
    let ips = ips.into_iter().filter(|ip| match wanted.kind {
        RecordType::A => ip.is_ipv4(),
        RecordType::AAAA => ip.is_ipv6(),
        _ => false,
    });
    records.extend(ips.map(|ip| record(wanted.name, ip.into())));
}

fn addresses(service: &Service) -> Vec<IpAddr> {
    if service.headless {
        endpoints(service).map(ip).collect()
    } else {
        service.cluster_ips.clone()
    }
}

/// The endpoints of all ports that DNS tells, each address once, in order.
fn endpoints(service: &Service) -> impl Iterator<Item = &Endpoint> {
    let by_ip: BTreeMap<IpAddr, &Endpoint> = service
        .ports
        .iter()
        .flat_map(|port| &port.endpoints)
        .filter(|endpoint| is_published(service, endpoint))
        .map(|endpoint| (endpoint.address.ip(), &**endpoint))
        .collect();
    by_ip.into_values()
}

fn is_published(service: &Service, endpoint: &Endpoint) -> bool {
    endpoint.ready || service.publish_not_ready
}

fn ip(endpoint: &Endpoint) -> IpAddr {
    endpoint.address.ip()
}

fn is_called(endpoint: &Endpoint, id: &str) -> bool {
    id_of(endpoint).eq_ignore_ascii_case(id)
}

/// An endpoint's label: its host name, else its address with dashes.
fn id_of(endpoint: &Endpoint) -> String {
    match &endpoint.hostname {
        Some(hostname) => hostname.to_string(),
        None => endpoint.address.ip().to_string().replace(['.', ':'], "-"),
    }
}

fn record(name: &Name, data: RData) -> Record {
    Record::from_rdata(name.clone(), TTL, data)
}

/// The size of the largest request that the agent takes.
pub(super) const LARGEST_REQUEST: u16 = 4096;

/// Seconds for which an answer may be kept: endpoints come and go.
const TTL: u32 = 5;

/// So many aliases may lead to one another.
const ALIASES: usize = 8;

const PRIORITY: u16 = 0;
const WEIGHT: u16 = 100;
