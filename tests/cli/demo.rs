//! `idembed demo`, as short as it gets.

use crate::program::Place;

#[test]
fn a_sheet_a_page_and_an_identity() {
    let place = Place::new();
    let value = place.json(&["demo", "--quick", "--steps=4", "--out=demo"]);
    let sheet = image::open(place.path(value["sheet"].as_str().unwrap())).unwrap();
    assert!(sheet.width() > 3 * 128 && sheet.height() > 3 * 128);
    let page = std::fs::read_to_string(place.path(value["page"].as_str().unwrap())).unwrap();
    assert!(page.contains("<svg") && page.contains("New scenes") && page.contains("Time and memory"));
    assert!(!page.contains("://") && !page.contains("<script"), "nothing from outside");
    let identity = value["identity"].as_str().unwrap().to_owned();
    assert_eq!(place.json(&["inspect", &identity])["steps"], 4);
    assert_eq!(place.files().iter().filter(|path| path.extension().is_some()).count(), 3);
}
