"""From a file to aligned crops: decoding, face detection, crops as virtual cameras."""
