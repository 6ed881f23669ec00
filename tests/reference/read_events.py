"""Prints what TensorBoard reads in a folder of event files: python read_events.py FOLDER."""

import json
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def main():
    events = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0, "images": 0})
    events.Reload()
    tags = events.Tags()
    scalars = {tag: [[event.step, event.value] for event in events.Scalars(tag)] for tag in tags["scalars"]}
    images = {tag: [[event.step, event.width, event.height] for event in events.Images(tag)] for tag in tags["images"]}
    print(json.dumps(dict(scalars=scalars, images=images)))


if __name__ == "__main__":
    main()
