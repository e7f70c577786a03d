//! The migrations are compiled in: a new file in their directory has to rebuild this crate.
fn main() {
    println!("cargo:rerun-if-changed=../../migrations");
}
