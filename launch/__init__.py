"""Command lines of tf_febm: they parse flags, build and call. In the wheel, `tf_febm_launch`."""
