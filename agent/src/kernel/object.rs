//! The object with the kernel programs, which the build script embeds, and its loading.

use agent_common::names;
use aya::{Ebpf, EbpfLoader, include_bytes_aligned};

use super::{
    KernelError, ProgramLog, owners,
    pins::{NodePins, Pins as _, PodPins},
};

/// The kernel programs, ready to be loaded any number of times.
pub(super) struct Object {
    pins: NodePins,
    level: &'static u8,
    told: &'static u8,
    build: u64,
    /// Kept for pods, since making one takes much longer than using it.
    loader: EbpfLoader<'static>,
}

// === impl Object ===

impl Object {
    /// Prepares the loading.
    pub(super) fn open(pins: NodePins, log: ProgramLog) -> Result<Self, KernelError> {
        if BYTES.is_empty() {
            return Err(KernelError::NoPrograms);
        }
        let level = match log {
            ProgramLog::Off => &0,
            ProgramLog::Debug => &DEBUG,
        };
        let told = if owners::are_told() { &1 } else { &0 };
        let loader = loader(&pins, level, told);
        Ok(Self {
            pins,
            level,
            told,
            build: build(*level),
            loader,
        })
    }

    /// Tells builds apart: programs that are attached already are kept when theirs is the same.
    pub(super) fn build(&self) -> u64 {
        self.build
    }

    /// Makes the node's maps, or opens them where they are pinned, and prepares the programs.
    ///
    /// A program is loaded with the descriptors which this holds: no map is to be taken out of it before.
    pub(super) fn load_node(&self) -> Result<Ebpf, KernelError> {
        // A loader of its own, since the other one knows where some pod's maps are pinned.
        load(&mut loader(&self.pins, self.level, self.told))
    }

    /// Makes or opens a pod's maps too.
    pub(super) fn load_pod(&mut self, pins: &PodPins) -> Result<Ebpf, KernelError> {
        for name in names::map::OF_POD {
            self.loader.map_pin_path(name, pins.map(name));
        }
        load(&mut self.loader)
    }
}

fn loader(pins: &NodePins, level: &'static u8, told: &'static u8) -> EbpfLoader<'static> {
    let mut loader = EbpfLoader::new();
    // It holds the kernel's whole type information, of which no program needs anything.
    loader.btf(None);
    give_back_memory();
    loader
        .override_global(aya_log::LEVEL, level, true)
        .override_global(names::global::SOCKOPS_NETNS, told, true)
        .map_max_entries(names::map::OWNERS, if *told == 0 { OWNERS } else { 1 })
        .default_map_pin_directory(pins.maps())
        .map_pin_path(names::map::LOGS, pins.map(names::map::LOGS));
    loader
}

fn load(loader: &mut EbpfLoader<'static>) -> Result<Ebpf, KernelError> {
    loader.load(BYTES).map_err(|error| KernelError::Load(Box::new(error)))
}

/// FNV-1a over the object and how it is loaded.
fn build(level: u8) -> u64 {
    BYTES.iter().chain([&level]).fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Gives freed memory back to the system, which glibc keeps when something small lies above it.
fn give_back_memory() {
    // SAFETY: the function takes a number and touches only memory that nobody uses.
    unsafe { libc::malloc_trim(0) };
}

/// How many sockets may be between connect() and the end of their handshake.
const OWNERS: u32 = 4096;

/// `aya_log_common::Level::Debug`.
const DEBUG: u8 = 4;

static BYTES: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/weft-ebpf"));
