"""`jaxaction data prepare`: from videos on disk to a TFDS data set."""
