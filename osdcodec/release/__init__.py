"""What a release does: a trained file becomes the embedded one, and the files that the specification keeps."""
