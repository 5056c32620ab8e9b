//! Links the image with its own layout.

fn main() {
    println!("cargo:rerun-if-changed=image.ld");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("none") {
        let directory = env!("CARGO_MANIFEST_DIR");
        println!("cargo:rustc-link-arg-bins=-T{directory}/image.ld");
    }
}
