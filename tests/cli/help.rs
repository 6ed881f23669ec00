//! What the program says about itself.

use crate::program::Place;

#[test]
fn every_command_explains_itself() {
    let place = Place::new();
    for command in [
        "learn",
        "generate",
        "attention",
        "face",
        "compare",
        "inspect",
        "identity",
        "identity blend",
        "identity subtract",
        "export",
        "doctor",
        "demo",
    ] {
        let help = place.succeeds(&command.split(' ').chain(["--help"]).collect::<Vec<_>>());
        assert!(help.contains("Examples:\n  idembed "), "{command} has no examples");
        assert!(help.lines().all(|line| line.chars().count() <= 110), "a long line in the help of {command}");
        insta::assert_snapshot!(command.replace(' ', "-"), help);
    }
    insta::assert_snapshot!("idembed", place.succeeds(&["--help"]));
}

#[test]
fn the_version_is_told() {
    assert_eq!(Place::new().succeeds(&["--version"]), format!("idembed {}\n", env!("CARGO_PKG_VERSION")));
}
