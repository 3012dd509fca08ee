//! The object with the kernel programs, which the build script embeds, and its loading.

use agent_common::names;
use aya::{Ebpf, EbpfLoader, VerifierLogLevel, include_bytes_aligned};

use super::{
    KernelError, ProgramLog,
    pins::{NodePins, PodPins},
};

/// The kernel programs, ready to be loaded any number of times.
pub(super) struct Object {
    loader: EbpfLoader<'static>,
    build: u64,
}

// === impl Object ===

impl Object {
    /// Prepares the loading. Maps of the node are created once, then opened where they are pinned.
    pub(super) fn open(pins: &NodePins, log: ProgramLog) -> Result<Self, KernelError> {
        if BYTES.is_empty() {
            return Err(KernelError::NoPrograms);
        }
        let mut loader = EbpfLoader::new();
        // It holds the kernel's whole type information, of which no program needs anything.
        loader.btf(None);
        give_back_memory();
        let level = match log {
            ProgramLog::Off => &0,
            ProgramLog::Debug => &DEBUG,
        };
        loader
            .verifier_log_level(VerifierLogLevel::DISABLE)
            .override_global(aya_log::LEVEL, level, true)
            .default_map_pin_directory(pins.maps())
            .map_pin_path(names::map::LOGS, pins.maps().join(names::map::LOGS));
        Ok(Self {
            loader,
            build: build(*level),
        })
    }

    /// Tells builds apart: programs that are attached already are kept when theirs is the same.
    pub(super) fn build(&self) -> u64 {
        self.build
    }

    /// Makes or opens the node's maps, and prepares the programs.
    ///
    /// To be called before [`Self::load_pod`], which leaves the paths of a pod's maps behind.
    pub(super) fn load_node(&mut self) -> Result<Ebpf, KernelError> {
        self.load()
    }

    /// Makes or opens a pod's maps too.
    pub(super) fn load_pod(&mut self, pins: &PodPins) -> Result<Ebpf, KernelError> {
        for name in names::map::OF_POD {
            self.loader.map_pin_path(name, pins.map(name));
        }
        self.load()
    }

    fn load(&mut self) -> Result<Ebpf, KernelError> {
        self.loader
            .load(BYTES)
            .map_err(|error| KernelError::Load(Box::new(error)))
    }
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

/// `aya_log_common::Level::Debug`.
const DEBUG: u8 = 4;

static BYTES: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/weft-ebpf"));
