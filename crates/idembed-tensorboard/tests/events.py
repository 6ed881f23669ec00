"""Writes events.tfevents with TensorBoard's own writer (pinned in tests/fixtures/requirements.txt of the repository)."""

from pathlib import Path

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


if __name__ == "__main__":
    write(Path(__file__).with_name("events.tfevents"))
