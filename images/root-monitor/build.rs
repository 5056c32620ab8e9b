//! Links the bare-metal image as its linker script says.

fn main() {
    println!("cargo:rerun-if-changed=image.ld");
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("none") {
        let manifest = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
        println!("cargo:rustc-link-arg-bins=-T{manifest}/image.ld");
    }
}
