//! Links the bare-metal image with its own linker script.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=image.ld");
    if env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "none") {
        println!(
            "cargo:rustc-link-arg-bins=-T{}/image.ld",
            env!("CARGO_MANIFEST_DIR")
        );
    }
}
