//! Event files of ours in TensorBoard.

use std::io::Cursor;
use std::path::Path;
use std::process::Command;

use idembed_integration_tests::python;
use idembed_tensorboard::EventWriter;
use image::{ImageFormat, RgbImage};
use serde_json::{Value, json};

#[test]
fn tensorboard_reads_numbers_and_pictures_also_of_a_cut_file() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut png = Cursor::new(Vec::new());
    RgbImage::new(5, 4).write_to(&mut png, ImageFormat::Png).unwrap();
    let mut writer = EventWriter::create(folder.path()).unwrap();
    for step in 1..=3 {
        writer.scalars(step, &[("loss/noise", 0.5 * step as f64), ("rate", 0.25)]).unwrap();
    }
    writer.picture(3, "drawn", (5, 4), png.into_inner()).unwrap();
    let whole = std::fs::read(writer.path()).unwrap();
    writer.scalars(4, &[("rate", 1.0)]).unwrap();
    let more = std::fs::read(writer.path()).unwrap();
    // As a kill in the middle of the last write leaves it.
    std::fs::write(writer.path(), &more[..(whole.len() + more.len()) / 2]).unwrap();

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference/read_events.py");
    let output = Command::new(python).arg(script).arg(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(read["scalars"]["loss/noise"], json!([[1, 0.5], [2, 1.0], [3, 1.5]]));
    assert_eq!(read["scalars"]["rate"], json!([[1, 0.25], [2, 0.25], [3, 0.25]]));
    assert_eq!(read["images"]["drawn"], json!([[3, 5, 4]]));
}
