//! DWARF taken out of a kernel object: bpf-linker makes BTF of it, and after that it is nine tenths of what the agent would
//! embed, and would look through for each pod whose program it loads.

use anyhow::{Context as _, Result, ensure};

/// The object without its sections of debug information. The others keep their numbers: an empty header stays for each.
pub(super) fn without_debug(object: &[u8]) -> Result<Vec<u8>> {
    ensure!(
        object.starts_with(b"\x7fELF\x02\x01"),
        "not a 64-bit little-endian ELF object"
    );
    let [size, count, names] = [0x3a, 0x3c, 0x3e].map(|at| short(object, at));
    let (size, count, names) = (size?, count?, names?);
    ensure!(size == HEADER, "headers of sections have {size} bytes");
    let start = long(object, SECTIONS_AT)?;
    let header = |number: usize| part(object, start + number * HEADER, HEADER);
    let names = content(object, header(names)?)?;

    let mut stripped = part(object, 0, ELF_HEADER)?.to_vec();
    let mut headers = Vec::new();
    for number in 0..count {
        let mut header = header(number)?.to_vec();
        let name = &names[int(&header, 0)?.min(names.len())..];
        if int(&header, 4)? == NULL || DEBUG.iter().any(|prefix| name.starts_with(prefix)) {
            header.fill(0);
        } else {
            let content = content(object, &header)?;
            let alignment = long(&header, 48)?.max(1);
            stripped.resize(stripped.len().next_multiple_of(alignment), 0);
            header[OFFSET..OFFSET + 8].copy_from_slice(&stripped.len().to_le_bytes());
            stripped.extend_from_slice(content);
        }
        headers.extend(header);
    }
    stripped.resize(stripped.len().next_multiple_of(8), 0);
    let start = stripped.len().to_le_bytes();
    stripped[SECTIONS_AT..SECTIONS_AT + 8].copy_from_slice(&start);
    stripped.extend(headers);
    Ok(stripped)
}

/// What a section holds in the file.
fn content<'a>(object: &'a [u8], header: &[u8]) -> Result<&'a [u8]> {
    match int(header, 4)? {
        NULL | NOBITS => Ok(&[]),
        _ => part(object, long(header, OFFSET)?, long(header, OFFSET + 8)?),
    }
}

fn short(bytes: &[u8], at: usize) -> Result<usize> {
    Ok(u16::from_le_bytes(part(bytes, at, 2)?.try_into()?).into())
}

fn int(bytes: &[u8], at: usize) -> Result<usize> {
    Ok(u32::from_le_bytes(part(bytes, at, 4)?.try_into()?).try_into()?)
}

fn long(bytes: &[u8], at: usize) -> Result<usize> {
    Ok(u64::from_le_bytes(part(bytes, at, 8)?.try_into()?).try_into()?)
}

fn part(bytes: &[u8], at: usize, length: usize) -> Result<&[u8]> {
    at.checked_add(length)
        .and_then(|end| bytes.get(at..end))
        .context("the object ends too early")
}

/// What the debug information and its relocations are called.
const DEBUG: [&[u8]; 2] = [b".debug", b".rel.debug"];
const ELF_HEADER: usize = 64;
/// The size of a section's header.
const HEADER: usize = 64;
/// Where in the ELF header the place of the sections' headers stands.
const SECTIONS_AT: usize = 0x28;
/// Where in a section's header the place of its content stands, and then its size.
const OFFSET: usize = 24;
const NULL: usize = 0;
const NOBITS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_information_goes_and_the_rest_keeps_number_and_content() {
        let object = object(&[
            (b"", b""),
            (b".strtab", b""),
            (b".text", b"program!"),
            (b".debug_info", &[7; 1000]),
            (b".rel.debug_info", &[8; 1000]),
            (b".BTF", b"types"),
        ]);
        let stripped = without_debug(&object).unwrap();
        assert!(stripped.len() < object.len() - 1900);
        let start = long(&stripped, SECTIONS_AT).unwrap();
        let held = |number: usize| content(&stripped, &stripped[start + number * HEADER..]).unwrap();
        assert_eq!(
            [held(2), held(3), held(4), held(5)],
            [b"program!" as &[u8], b"", b"", b"types"]
        );
        // Whoever does it again changes nothing.
        assert_eq!(without_debug(&stripped).unwrap(), stripped);
    }

    #[test]
    fn what_is_no_whole_object_is_refused() {
        assert!(without_debug(b"text").is_err());
        let object = object(&[(b"", b""), (b".strtab", b""), (b".text", b"program!")]);
        assert!(without_debug(&object[..object.len() - 1]).is_err());
    }

    /// An object with these sections; `.strtab` gets the names.
    fn object(sections: &[(&[u8], &[u8])]) -> Vec<u8> {
        let mut names = Vec::new();
        let places: Vec<usize> = sections
            .iter()
            .map(|(name, _)| {
                let place = names.len();
                names.extend_from_slice(name);
                names.push(0);
                place
            })
            .collect();
        let mut object = vec![0; ELF_HEADER];
        object[..6].copy_from_slice(b"\x7fELF\x02\x01");
        let mut headers = Vec::new();
        for ((name, content), place) in sections.iter().zip(places) {
            let content = if *name == b".strtab" { &names } else { *content };
            let mut header = [0; HEADER];
            header[..4].copy_from_slice(&u32::try_from(place).unwrap().to_le_bytes());
            header[4] = u8::from(!name.is_empty());
            header[OFFSET..OFFSET + 8].copy_from_slice(&object.len().to_le_bytes());
            header[OFFSET + 8..OFFSET + 16].copy_from_slice(&content.len().to_le_bytes());
            object.extend_from_slice(content);
            headers.extend(header);
        }
        let start = object.len().to_le_bytes();
        object[SECTIONS_AT..SECTIONS_AT + 8].copy_from_slice(&start);
        object[0x3a] = HEADER as u8;
        object[0x3c] = sections.len() as u8;
        object[0x3e] = 1;
        object.extend(headers);
        object
    }
}
