//! The one macro which makes a type fit for a map: its size is asserted, and with the feature `user` it is aya's `Pod`.

macro_rules! map_value {
    ($type:ty, $size:literal) => {
        const _: () = assert!(
            size_of::<$type>() == $size,
            "the layout of a pinned map changed: raise names::ABI"
        );

        // SAFETY: the type is `#[repr(C)]` of integers and arrays of them, and the size above leaves no room for padding.
        #[cfg(feature = "user")]
        unsafe impl aya::Pod for $type {}
    };
}

pub(crate) use map_value;
