//! The TCP option: exactly what is written is heard, but for its length, which a later version may enlarge.

use agent_common::{Direction, Hello, MeshId};

pub(crate) fn check(bytes: &[u8]) {
    let Some((option, rest)) = bytes.split_first_chunk::<{ Hello::LENGTH }>() else {
        return;
    };
    let heard = Hello::from_bytes(*option);
    let [_, length, _, _, _, _, mesh @ .., _] = *option;
    let other = rest.first_chunk().copied().unwrap_or_default();
    for mesh in [mesh, other].map(MeshId::new) {
        for direction in [Direction::Asks, Direction::Answers] {
            let mut written = *Hello::new(mesh, direction).bytes();
            written[1] = written[1].max(length);
            assert_eq!(heard.is(mesh, direction), *option == written, "{mesh} {direction:?}");
        }
    }
}
