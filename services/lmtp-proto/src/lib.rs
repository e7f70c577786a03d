//! lmtp-proto
