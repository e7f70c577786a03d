//! lmtpd
