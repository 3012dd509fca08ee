//! Packets byte by byte.

use super::*;

#[test]
fn a_checksum_covers_addresses_ports_length_and_payload() {
    // 9801 331b 980e 5e4b (addresses) 0011 000a (protocol, length) 043f 000d 000a 0000 6262 (datagram) add up to 284a.
    let datagram = datagram(
        "152.1.51.27:1087".parse().unwrap(),
        "152.14.94.75:13".parse().unwrap(),
        &[0x62, 0x62],
    )
    .unwrap();

    assert_eq!(datagram, [0x04, 0x3f, 0, 13, 0, 10, 0xd7, 0xb5, 0x62, 0x62]);
}

#[test]
fn an_odd_last_byte_is_the_high_one() {
    assert_eq!(sum(&[1, 2, 3]), 0x0102 + 0x0300);
}

#[test]
fn families_do_not_mix_and_lengths_have_a_limit() {
    let (v4, v6) = ("10.0.0.1:1".parse().unwrap(), "[fd00::1]:1".parse().unwrap());

    assert!(packet(v4, v6, b"").is_none());
    assert!(packet(v6, v4, b"").is_none());
    assert!(packet(v4, v4, &[0; 65_527]).is_some());
    assert!(packet(v4, v4, &[0; 65_528]).is_none());
}
