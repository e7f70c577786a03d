//! Framing of the line protocols (POP3, LMTP), without I/O and with bounded memory: [`line`] cuts what a peer sends into
//! lines, [`stuffing`] writes a multi-line response (RFC 1939 section 3), [`unstuffing`] reads SMTP data (RFC 5321 section
//! 4.5.2). Every one of them gives the same result however the octets are split.

pub mod line;
pub mod stuffing;
pub mod unstuffing;
