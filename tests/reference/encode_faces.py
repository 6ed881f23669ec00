"""The faces of photos as `face_recognition` encodes them: `encode_faces.py WEIGHTS PHOTO...`.

Prints one JSON list with the embedding of the first face of each photo. These are the calls of `face_recognition.api` with
its defaults; the package itself is not needed for them.
"""

import json
import sys

import dlib
import numpy as np
from PIL import Image

weights, *photos = sys.argv[1:]
detector = dlib.get_frontal_face_detector()
predictor = dlib.shape_predictor(f"{weights}/shape_predictor_5_face_landmarks.dat")
encoder = dlib.face_recognition_model_v1(f"{weights}/dlib_face_recognition_resnet_model_v1.dat")
encodings = []
for photo in photos:
    picture = np.array(Image.open(photo).convert("RGB"))
    face = detector(picture, 1)[0]
    encodings.append(list(encoder.compute_face_descriptor(picture, predictor(picture, face), 1)))
print(json.dumps(encodings))
