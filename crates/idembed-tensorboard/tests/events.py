"""Writes events.tfevents with TensorBoard's own writer, or with --read prints what TensorBoard reads in a folder.

Needs tensorboard, pinned in tests/fixtures/requirements.txt.
"""

import argparse
import json
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter


def value(tag, number):
    return Summary.Value(tag=tag, simple_value=number)


def write(path):
    picture = Summary.Image(height=2, width=3, colorspace=3, encoded_image_string=bytes([1, 2, 3]))
    events = [
        Event(step=0, file_version="brain.Event:2"),
        Event(step=1, summary=Summary(value=[value("loss/noise", 0.25)])),
        Event(step=300, summary=Summary(value=[value("loss/noise", -1e-3), value("learning rate", 0.0)])),
        Event(step=300, summary=Summary(value=[Summary.Value(tag="drawn/a photo of <me>", image=picture)])),
    ]
    with open(path, "wb") as file:
        writer = RecordWriter(file)
        for event in events:
            event.wall_time = 1234.5
            writer.write(event.SerializeToString())


def read(folder):
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0})
    events.Reload()
    tags = events.Tags()
    scalars = {tag: [[event.step, event.value] for event in events.Scalars(tag)] for tag in tags["scalars"]}
    images = {tag: [[event.step, event.width, event.height] for event in events.Images(tag)] for tag in tags["images"]}
    print(json.dumps(dict(scalars=scalars, images=images)))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--read", type=Path, metavar="FOLDER")
    folder = parser.parse_args().read
    if folder:
        read(folder)
    else:
        write(Path(__file__).with_name("events.tfevents"))


if __name__ == "__main__":
    main()
