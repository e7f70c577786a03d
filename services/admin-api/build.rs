//! Packs the files of the web console, so that the binary holds them as they are served. Where the console was not built, there are
//! none, and the service sends browsers to the page of its document.

use std::error::Error;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use flate2::Compression;
use flate2::write::GzEncoder;

/// Each answer writes a nonce into it, so it is kept as it is.
const PAGE: &str = "index.html";

fn main() -> Result<(), Box<dyn Error>> {
    let built = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../../web-admin/dist");
    // While what it watches is missing, Cargo would run this at each build.
    fs::create_dir_all(&built)?;
    println!("cargo::rerun-if-changed={}", built.display());
    println!("cargo::rerun-if-changed=build.rs");
    let mut files = Vec::new();
    collect(&built, "", &mut files)?;
    files.sort();
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let mut table = String::from("[\n");
    for (number, (name, path)) in files.iter().enumerate() {
        let octets = fs::read(path)?;
        let packed = pack(&octets)?;
        let is_packed = name != PAGE && packed.len() < octets.len();
        fs::write(out.join(number.to_string()), if is_packed { &packed } else { &octets })?;
        let contents = format!("include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{number}\"))");
        writeln!(table, "ConsoleFile {{ name: {name:?}, is_packed: {is_packed}, octets: {contents} }},")?;
    }
    table.push(']');
    fs::write(out.join("console.rs"), table)?;
    Ok(())
}

/// The files beneath a directory, by their path there. Maps from what is served to its sources serve nobody here.
fn collect(directory: &Path, prefix: &str, files: &mut Vec<(String, PathBuf)>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().into_string().map_err(|name| format!("{}: not UTF-8", name.display()))?;
        let name = format!("{prefix}{name}");
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), &format!("{name}/"), files)?;
        } else if !name.ends_with(".map") {
            files.push((name, entry.path()));
        }
    }
    Ok(())
}

fn pack(octets: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(octets)?;
    Ok(encoder.finish()?)
}
